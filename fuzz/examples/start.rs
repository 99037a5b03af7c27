//! Writes starts for the corpora of targets that have some: `cargo run --example start -- FOLDER`.

use std::path::Path;

use stillpoint_fuzz::{files, http, race, streams, world};

fn main() -> std::io::Result<()> {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("Give the folder to write to: cargo run --example start -- corpus");
        std::process::exit(2);
    };
    let of_seeds =
        |bytes: fn(u64) -> Option<Vec<u8>>, seeds| (0..seeds).filter_map(bytes).collect();
    let starts: [(&str, Vec<Vec<u8>>); 5] = [
        ("files", files::whole()),
        ("http", http::requests()),
        ("streams", of_seeds(streams::bytes_of_seed, 10)),
        ("world", of_seeds(world::bytes_of_seed, 10)),
        ("planted_race", of_seeds(race::bytes_of_seed, 2)),
    ];
    for (target, starts) in starts {
        let folder = Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder)?;
        for (number, bytes) in starts.iter().enumerate() {
            std::fs::write(folder.join(format!("start-{number:02}")), bytes)?;
        }
    }
    Ok(())
}
