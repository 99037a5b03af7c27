/// Shrunk from seed 0x3, which fails with invariant: parcels come in order and once.
#[test]
fn scenario_in_plant_double_delivery_season_busy_3() {
    use stillpoint_sim::Replay;

    Replay::of("scenario_in(Plant::DoubleDelivery, Season::busy())", scenario_in(Plant::DoubleDelivery, Season::busy()))
        .seed(0x3)
        .choose("scenario", "loss", 0, (7, 1))
        .choose("scenario", "pause", 0, (401, 103))
        .choose("link loss", 0xe88449135170c405, 1, (2, 1)) // the link from `depot` to `courier 1`
        .faults(|_| [])
        .passes();
}

/// Shrunk from seed 0x149c5233dd70a056, which fails with invariant: each parcel is what was sent.
#[test]
fn scenario_in_plant_window_off_by_one_season_busy_149c5233dd70a056() {
    use stillpoint_sim::Replay;

    Replay::of("scenario_in(Plant::WindowOffByOne, Season::busy())", scenario_in(Plant::WindowOffByOne, Season::busy()))
        .seed(0x149c5233dd70a056)
        .choose("scenario", "parcels", 0, (40, 4))
        .choose("scenario", "pause", 0, (401, 3))
        .choose("link reorder", 0x938cea26115e36e6, 1, (2, 1)) // the link from `courier 1` to `depot`
        .faults(|_| [])
        .passes();
}

/// Shrunk from seed 0x0, which fails with scenario: somebody has crashed twice.
#[test]
fn crashes_0() {
    use stillpoint::Timestamp;
    use stillpoint_sim::{Fault, Replay};

    Replay::of("crashes", crashes)
        .seed(0x0)
        .faults(|node| {
            [
                (Timestamp::from_nanos(0), Fault::Crash(node("idler 3"))),
                (Timestamp::from_nanos(0), Fault::Crash(node("idler 3"))),
                (Timestamp::from_nanos(10000000), Fault::Restart(node("idler 3"))),
                (Timestamp::from_nanos(10000000), Fault::Restart(node("idler 3"))),
            ]
        })
        .passes();
}
