//! Commands of a controller to tasks, as stories.

use stillpoint::{CommandError, CommandId, ControlError, ControllerEvent, End, TaskId};

use super::lab::{Kind, Lab};
use super::puppet::Act;

fn given(lab: &mut Lab, command: CommandId) -> Result<TaskId, CommandError> {
    lab.event(|event| match event {
        ControllerEvent::Commanded { id, given } => (*id == command).then_some(*given),
        _ => None,
    })
}

pub(crate) fn commands_arrive_in_the_order_they_were_given(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let puppets = [lab.puppet(0), lab.puppet(1)];
    for number in 0..1_000 {
        for puppet in puppets {
            let act = Act::say(number);
            if number % 10 == 0 {
                lab.stage.command_tracked(puppet.into(), act).unwrap();
            } else {
                lab.stage.command(puppet.into(), act).unwrap();
            }
        }
    }
    for puppet in puppets {
        for number in 0..1_000 {
            assert_eq!(lab.said(puppet), number);
        }
    }
}

pub(crate) fn a_tracked_command_is_told_to_have_arrived(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    for worker in 0..2 {
        let puppet = lab.puppet(worker);
        let command = lab.stage.command_tracked(puppet.into(), Act::say(1));
        assert_eq!(given(&mut lab, command.unwrap()), Ok(puppet));
        assert_eq!(lab.said(puppet), 1);
    }
}

pub(crate) fn a_command_for_a_task_that_is_no_more_is_told(kind: Kind) {
    let mut lab = Lab::new(kind, 1);
    let puppet = lab.puppet(0);
    lab.tell(puppet, |hands| hands.outbox.finish());
    lab.end(puppet);
    let command = lab.stage.command_tracked(puppet.into(), Act::say(1));
    let expected = Err(CommandError::Stale { task: puppet });
    assert_eq!(given(&mut lab, command.unwrap()), expected);
    lab.stage.command(puppet.into(), Act::say(2)).unwrap();
    let stale = lab.event(|event| match event {
        ControllerEvent::Stale(stale) => Some(stale.task),
        _ => None,
    });
    assert_eq!(stale, puppet);
}

pub(crate) fn a_command_that_ends_its_task_has_arrived(kind: Kind) {
    let mut lab = Lab::new(kind, 1);
    let puppet = lab.puppet(0);
    let weak = Act::new(|hands| panic!("told to at {}", hands.now));
    let command = lab.stage.command_tracked(puppet.into(), weak).unwrap();
    assert_eq!(given(&mut lab, command), Ok(puppet));
    assert!(matches!(lab.end(puppet), End::Panicked { .. }));
}

pub(crate) fn who_does_not_listen_may_ask_for_no_more(kind: Kind) {
    let mut lab = Lab::with(kind, 1, |limits| limits.unanswered_max = 10);
    let puppet = lab.puppet(0);
    lab.stage.stall(0);
    let commands: Vec<CommandId> = (0..10)
        .map(|number| {
            let act = Act::say(number);
            lab.stage.command_tracked(puppet.into(), act).unwrap()
        })
        .collect();
    let too_many = ControlError::Unanswered { unanswered_max: 10 };
    let told = lab.stage.command_tracked(puppet.into(), Act::say(10));
    assert_eq!(told.unwrap_err(), too_many);
    let told = lab.stage.spawn(0.into(), super::puppet::Role::First);
    assert_eq!(told.unwrap_err(), too_many);
    lab.stage.release(0);
    for command in commands {
        assert_eq!(given(&mut lab, command), Ok(puppet));
    }
    lab.stage
        .command_tracked(puppet.into(), Act::say(11))
        .unwrap();
}
