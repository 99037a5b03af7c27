//! Interleaved rounds over all contestants.

use std::io;

use crate::case::Case;
use crate::load::{self, Measured, Times};
use crate::results::{CaseResult, Row};
use crate::server::{Program, Server};
use crate::servers::Contestant;

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Settings {
    pub rounds: u32,
    pub times: Times,
    pub server_core: usize,
    pub generator_core: usize,
}

/// Measures all contestants on a case, a round each in turn.
pub fn measure(
    case: &Case,
    contestants: &[Contestant],
    settings: &Settings,
) -> io::Result<CaseResult> {
    let own = Program {
        path: std::env::current_exe()?,
    };
    let mut rows: Vec<Row> = contestants
        .iter()
        .map(|contestant| Row::new(&contestant.name, contestant.floor))
        .collect();
    for round in 0..settings.rounds as usize {
        for place in 0..contestants.len() {
            let index = (place + round) % contestants.len();
            let (contestant, row) = (&contestants[index], &mut rows[index]);
            match measure_one(case, contestant, &own, settings) {
                Ok(Some(measured)) => row.rounds.push(measured),
                Ok(None) => {}
                Err(error) => row.failed = Some(error.to_string()),
            }
        }
    }
    rows.retain(|row| !row.rounds.is_empty() || row.failed.is_some());
    Ok(CaseResult {
        name: case.name.clone(),
        load: case.load,
        rows,
    })
}

/// One round of one contestant, if it does such a thing.
fn measure_one(
    case: &Case,
    contestant: &Contestant,
    program: &Program,
    settings: &Settings,
) -> io::Result<Option<Measured>> {
    let (job, prepared) = load::prepare(&case.load)?;
    if !contestant.does(job) {
        return Ok(None);
    }
    let server = Server::start(program, contestant, job, settings.server_core)?;
    load::run(&case.load, prepared, &server, settings.times).map(Some)
}
