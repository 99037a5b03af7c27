//! Interleaved rounds over all contestants.

use std::io;
use std::path::{Path, PathBuf};

use crate::case::Case;
use crate::load::{self, Measured, Times};
use crate::results::{CaseResult, Row};
use crate::server::{Cores, Server};
use crate::servers::Contestant;

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Settings {
    pub rounds: u32,
    pub times: Times,
    pub cores: Cores,
    /// What contestants are in that this program does not hold, if it is there.
    pub predecessor: Option<PathBuf>,
}

/// Measures all contestants on a case, a round each in turn.
pub fn measure(
    case: &Case,
    contestants: &[Contestant],
    settings: &Settings,
) -> io::Result<CaseResult> {
    let own = std::env::current_exe()?;
    let mut rows: Vec<Row> = contestants
        .iter()
        .map(|contestant| Row::new(&contestant.name, contestant.floor))
        .collect();
    for round in 0..settings.rounds as usize {
        for place in 0..contestants.len() {
            let index = (place + round) % contestants.len();
            let (contestant, row) = (&contestants[index], &mut rows[index]);
            let program = match (contestant.is_apart(), &settings.predecessor) {
                (false, _) => &own,
                (true, Some(apart)) => apart,
                (true, None) => continue,
            };
            match measure_one(case, contestant, program, settings) {
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
    program: &Path,
    settings: &Settings,
) -> io::Result<Option<Measured>> {
    let (job, prepared) = load::prepare(&case.load)?;
    if !contestant.does(job) || contestant.is_spinning() && !case.load.is_latency() {
        return Ok(None);
    }
    let server = Server::start(program, contestant, job, settings.cores)?;
    load::run(&case.load, prepared, &server, settings.times).map(Some)
}
