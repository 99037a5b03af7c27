//! A page of metrics: fetched over HTTP, and its lines read.

use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

/// The longest page that is read, in bytes.
const PAGE_BYTES_MAX: u64 = 256 << 20;

/// How long a server may take for each step of an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fetches the page with the metrics of a server.
pub fn fetch(server: &str) -> Result<String, String> {
    let mut last = "it has no address".to_owned();
    let addresses = server.to_socket_addrs();
    let addresses = addresses.map_err(|error| format!("{server}: {error}"))?;
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                let answer = ask(stream, server);
                let answer = answer.map_err(|error| format!("no answer from {server}: {error}"))?;
                return body(&answer).map_err(|why| format!("{server}: {why}"));
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(format!("cannot connect to {server}: {last}"))
}

fn ask(mut stream: TcpStream, server: &str) -> std::io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(PAGE_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

/// The page in an answer that is whole.
pub fn body(answer: &[u8]) -> Result<String, String> {
    let text = core::str::from_utf8(answer).map_err(|_| "the answer is no text".to_owned())?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or("the answer is not HTTP")?;
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    let (version, status) = status.split_once(' ').unwrap_or_default();
    if !version.starts_with("HTTP/1.") {
        return Err("the answer is not HTTP".to_owned());
    }
    if !status.starts_with("200") {
        return Err(format!("it says {status}"));
    }
    let mut lengths = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse().ok())?
    });
    if let Some(length) = lengths.find(|&length: &usize| length != body.len()) {
        return Err(format!("only {} bytes of {length} came", body.len()));
    }
    Ok(body.to_owned())
}

/// One sample of a page: a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<'a> {
    pub name: &'a str,
    pub labels: Vec<(&'a str, String)>,
    pub value: f64,
}

impl Sample<'_> {
    pub fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(label, _)| *label == name)?;
        Some(&found.1)
    }
}

/// The samples of a page. Lines that are none are left out.
pub fn samples(page: &str) -> impl Iterator<Item = Sample<'_>> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(sample)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, value) = rest.trim_start_matches([',', ' ']).split_once("=\"")?;
            let (value, after) = quoted(value)?;
            labels.push((label, value));
            rest = after;
        }
        rest = &rest[1..];
    }
    // A time may follow the value.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name,
        labels,
        value,
    })
}

/// What stands before the closing quote, and what comes behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}
