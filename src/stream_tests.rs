//! The account of a stream's room.

use proptest::prelude::*;

use super::*;
use crate::slots::Key;
use crate::task::Output;

#[derive(Debug)]
struct Demo;

impl App for Demo {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = ();
    type Spawn = ();
}

const STREAM: StreamId = StreamId {
    worker: 0,
    key: Key {
        slot: 0,
        generation: 0,
    },
};

/// What a writer gave out: the bytes, the number of writes, and how often it ended.
#[expect(clippy::wildcard_enum_match_arm, reason = "a test looks for two")]
fn taken(outbox: &mut Outbox<Demo>) -> (Vec<u8>, usize, usize) {
    let (mut bytes, mut writes, mut ends) = (Vec::new(), 0, 0);
    while let Some(output) = outbox.pop() {
        match output {
            Output::Write(write) => {
                assert_eq!(ends, 0, "a write behind the end");
                let payload = write.payload.into_buffer().expect("a buffer");
                assert!(!payload.is_empty(), "a write of nothing");
                bytes.extend_from_slice(&payload);
                writes += 1;
            }
            Output::EndWrite(STREAM) => ends += 1,
            other => panic!("{other:?}"),
        }
    }
    (bytes, writes, ends)
}

#[test]
fn a_write_within_the_room_goes_out_as_it_is() {
    let (mut writer, mut outbox) = (StreamWriter::new(STREAM, 10), Outbox::new());
    writer.write(Buffer::copy_from(b"0123456789"), &mut outbox);
    assert_eq!((writer.room(), writer.waiting()), (0, 0));
    assert_eq!(taken(&mut outbox), (b"0123456789".to_vec(), 1, 0));
}

#[test]
#[should_panic(expected = "behind the end")]
fn a_write_behind_the_end_is_a_mistake() {
    let (mut writer, mut outbox) = (StreamWriter::new(STREAM, 10), Outbox::<Demo>::new());
    writer.end(&mut outbox);
    writer.write(Buffer::copy_from(b"more"), &mut outbox);
}

proptest! {
    /// Law 5: whatever room there is and whenever it comes, all bytes go out, in order, never more
    /// than there is room for, and the end comes once, behind them.
    #[test]
    fn law_5_a_writer_loses_nothing_and_never_passes_its_room(
        writes in prop::collection::vec(0..40usize, 0..20),
        rooms in prop::collection::vec(0..50usize, 0..20),
    ) {
        let (mut writer, mut outbox) = (StreamWriter::new(STREAM, 16), Outbox::new());
        let (mut room, mut sent, mut ends) = (16, Vec::new(), 0);
        let mut all = Vec::new();
        let mut rooms = rooms.into_iter();
        let mut take = |writer: &mut StreamWriter, outbox: &mut Outbox<Demo>, room: usize| {
            let (bytes, _, ended) = taken(outbox);
            prop_assert!(bytes.len() <= room, "{} bytes of {room}", bytes.len());
            prop_assert_eq!(writer.room(), room - bytes.len());
            sent.extend(bytes);
            ends += ended;
            Ok(())
        };
        for (index, len) in writes.into_iter().enumerate() {
            let data = vec![u8::try_from(index).unwrap(); len];
            writer.write(Buffer::copy_from(&data), &mut outbox);
            all.extend(data);
            take(&mut writer, &mut outbox, room)?;
            room = writer.room();
            if let Some(more) = rooms.next() {
                room = more;
                writer.handle_writable(room, &mut outbox);
                take(&mut writer, &mut outbox, room)?;
                room = writer.room();
            }
        }
        writer.end(&mut outbox);
        writer.end(&mut outbox);
        take(&mut writer, &mut outbox, room)?;
        while writer.waiting() > 0 {
            writer.handle_writable(7, &mut outbox);
            take(&mut writer, &mut outbox, 7)?;
        }
        prop_assert_eq!(ends, 1);
        prop_assert_eq!(sent, all);
    }
}
