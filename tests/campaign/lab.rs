//! The application of the chat's campaign: doors, and guests on other nodes.

use stillpoint::{App, Spawned, Spawner};

use super::chat::{Door, DoorConfig, Name, Report, Said};
use super::guest::{Guest, GuestConfig};

#[derive(Debug)]
pub struct Lab;

impl App for Lab {
    type Channel = Name;
    type Message = Said;
    type Command = ();
    type Report = Report;
    type Spawn = Spawn;
}

#[derive(Debug, Clone)]
pub enum Spawn {
    Door(Box<DoorConfig>),
    Guest(GuestConfig),
}

pub fn spawn(spawn: Spawn, spawner: Spawner<'_, Lab>) -> Spawned {
    match spawn {
        Spawn::Door(config) => spawner.insert(Door::new(*config)),
        Spawn::Guest(config) => spawner.insert(Guest::new(config)),
    }
}
