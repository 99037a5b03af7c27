//! Bytes become packets and frames: no header makes the readers of headers panic, what is cut and
//! joined again is what it was, and what is said of a large packet is checked.

use stillpoint::{
    Buffer, BufferPool, DeviceKind, Packet, PacketHeaders, PacketJoin, PacketOffload,
    PartialChecksum, SegmentProtocol, Segmentation,
};

use crate::Script;

/// Runs the script.
pub fn run_bytes(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let kind = match script.byte() % 2 {
        0 => DeviceKind::Tun,
        _ => DeviceKind::Tap,
    };
    let (offload, len) = (offload(&mut script), script.word());
    let first = script.take(len);
    look(kind, first);
    let mut packet = Packet::new(Buffer::copy_from(first));
    packet.offload = offload;
    let pool = BufferPool::new();
    if let Ok(singles) = packet.into_singles(kind, &pool) {
        let singles: Vec<Buffer> = singles.take(SINGLES_MAX).collect();
        for single in &singles {
            look(kind, single);
        }
        join(kind, &singles);
    }
    // Others behind it, which may fit or not.
    let mut others = vec![Buffer::copy_from(first)];
    while !script.is_over() {
        let len = script.word();
        others.push(Buffer::copy_from(script.take(len)));
    }
    join(kind, &others);
}

const SINGLES_MAX: usize = 2_000;

fn offload(script: &mut Script<'_>) -> PacketOffload {
    let mut offload = PacketOffload::NONE;
    let what = script.byte();
    let word = |script: &mut Script<'_>| u16::try_from(script.word()).unwrap_or_default();
    if what & 1 != 0 {
        let protocol = match what >> 2 & 3 {
            0 => SegmentProtocol::TcpV4,
            1 => SegmentProtocol::TcpV6,
            _ => SegmentProtocol::Udp,
        };
        let segmentation = Segmentation::new(protocol, word(script), word(script));
        offload.segmentation = Some(segmentation);
    }
    if what & 2 != 0 {
        offload.checksum = Some(PartialChecksum::new(word(script), word(script)));
    }
    offload
}

/// What is read of headers lies within the packet.
fn look(kind: DeviceKind, packet: &[u8]) {
    if let Ok(headers) = PacketHeaders::parse(kind, packet) {
        assert!(headers.network <= headers.transport && headers.transport <= headers.end);
        assert!(headers.end <= packet.len());
        assert!(
            headers
                .ports(packet)
                .is_none_or(|_| headers.end >= headers.transport + 4)
        );
    }
}

/// What is joined comes apart into the very same packets.
fn join(kind: DeviceKind, packets: &[Buffer]) {
    let Some((first, rest)) = packets.split_first() else {
        return;
    };
    let Ok(mut join) = PacketJoin::start(kind, first.clone()) else {
        return;
    };
    let joined = rest.iter().take_while(|packet| join.push(packet)).count();
    assert_eq!(usize::from(join.segments()), joined + 1);
    let pool = BufferPool::new();
    let large = join.finish();
    let apart = large
        .into_singles(kind, &pool)
        .expect("what was joined can be cut");
    let apart: Vec<Buffer> = apart.collect();
    assert_eq!(apart.len(), joined + 1);
    for (one, other) in apart.iter().zip(packets) {
        let headers = PacketHeaders::parse(kind, other).expect("it was joined");
        assert_eq!(one[..headers.end], other[..headers.end], "it comes back");
    }
}
