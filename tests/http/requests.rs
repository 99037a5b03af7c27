//! What is asked, and what is answered.

use stillpoint::Reading;
use stillpoint::http::{HttpConfig, StatusCode, problem};

use super::bench::{Bench, Fate, answers};

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: here\r\n\r\n")
}

/// What a client hears that says this, and nothing else.
fn hear(bytes: impl AsRef<[u8]>) -> Vec<(u16, String)> {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.say(client, bytes);
    bench.answers(client)
}

/// The one answer to this, which is a good one.
fn told(bytes: impl AsRef<[u8]>) -> String {
    let answers = hear(bytes);
    let [(200, told)] = &answers[..] else {
        panic!("{answers:?}");
    };
    told.clone()
}

/// The status of the last answer on a connection that is ended behind it.
fn refused(bytes: impl AsRef<[u8]>) -> u16 {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.say(client, bytes);
    let statuses = bench.statuses(client);
    assert_eq!((statuses.len(), bench.client(client).ends), (1, 1));
    let heard = String::from_utf8_lossy(&bench.client(client).heard);
    assert!(heard.contains("\r\nConnection: close\r\n"), "{heard}");
    statuses[0]
}

#[test]
fn one_connection_serves_one_request_after_the_other() {
    let mut bench = Bench::new();
    let client = bench.connect();
    for target in ["/a", "/b?c=d"] {
        bench.say(client, get(target));
    }
    let expected =
        ["/a", "/b?c=d"].map(|target| (200, format!("GET {target} of here with \"\"\n")));
    assert_eq!(bench.answers(client), expected);
    assert_eq!((bench.client(client).ends, bench.exchanges()), (0, 0));
    assert_eq!(
        bench.wire().reports.len(),
        1,
        "the task hears of its listener"
    );
}

#[test]
fn requests_in_one_go_are_answered_in_turn_though_the_first_takes_its_time() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let other = bench.connect();
    bench.say(client, [get("/later"), get("/b"), get("/later")].concat());
    bench.say(other, get("/"));
    assert_eq!(bench.statuses(other), [200], "nobody else waits");
    assert_eq!((bench.answers(client).len(), bench.exchanges()), (0, 1));
    bench.answer("first");
    assert_eq!(bench.answers(client).len(), 2, "then comes the next");
    bench.answer("third");
    let bodies: Vec<String> = bench
        .answers(client)
        .into_iter()
        .map(|answer| answer.1)
        .collect();
    assert_eq!(bodies, ["first", "GET /b of here with \"\"\n", "third"]);
    assert_eq!(bench.exchanges(), 0);
}

#[test]
fn a_head_is_what_the_whole_answer_begins_with() {
    let mut bench = Bench::new();
    for (target, len) in [("/status/404", 12), ("/long", 5_000)] {
        let (whole, head) = (bench.connect(), bench.connect());
        bench.say(whole, get(target));
        bench.say(head, get(target).replace("GET", "HEAD"));
        let [whole, head] = [whole, head].map(|client| &bench.client(client).heard);
        assert!(whole.starts_with(head) && whole.len() == head.len() + len);
    }
    // Also when it is refused.
    let client = bench.connect();
    bench.say(client, get("/").replace("GET", "HEAD").replace("Host", "X"));
    let heard = String::from_utf8(bench.client(client).heard.clone()).unwrap();
    assert!(
        heard.starts_with("HTTP/1.1 400 ") && heard.ends_with("\r\n\r\n"),
        "{heard}"
    );
}

#[test]
fn a_body_comes_with_a_length_or_in_chunks() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\n";
    for (rest, body) in [
        ("\r\n", ""),
        ("Content-Length: 0\r\n\r\n", ""),
        ("Content-Length: 011\r\n\r\nhello world", "hello world"),
        ("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""),
        (
            "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
            "hello world",
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n00A\r\n0123456789\r\n00\r\n\r\n",
            "0123456789",
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n1;a=\"b\";c\r\nx\r\n0;d\r\n\r\n",
            "x",
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\nC:\t\r\n\r\n",
            "x",
        ),
    ] {
        let expected = format!("POST / of a with \"{body}\"\n");
        assert_eq!(told(format!("{post}{rest}")), expected);
        // What follows is the next request.
        let two = hear(format!("{post}{rest}{}", get("/next")));
        assert_eq!(two[1].1, "GET /next of here with \"\"\n", "{rest}");
    }
}

#[test]
fn a_target_is_a_path_a_url_or_everything() {
    for (target, uri, host) in [
        ("/", "/", "here"),
        ("//x/../y?z#f", "//x/../y?z", "here"),
        ("http://there:81/x?y", "http://there:81/x?y", "there:81"),
        ("https://there", "https://there/", "there"),
    ] {
        assert_eq!(
            told(get(target)),
            format!("GET {uri} of {host} with \"\"\n")
        );
    }
    assert_eq!(
        told(get("*").replace("GET", "OPTIONS")),
        "OPTIONS * of here with \"\"\n"
    );
    for target in [
        "*",
        "x",
        "here:80",
        "ftp://there/",
        "http://me@there/",
        "http://",
        "/a b",
    ] {
        assert_eq!(refused(get(target)), 400, "{target}");
    }
    let connect = "CONNECT there:80 HTTP/1.1\r\nHost: there:80\r\n\r\n";
    assert_eq!(refused(connect), 501);
}

#[test]
fn a_request_says_once_which_host_it_is_for_unless_it_is_old() {
    for head in ["Host: a:80", "Host:", "host: [::1]:80", "HOST: a"] {
        told(format!("GET / HTTP/1.1\r\n{head}\r\n\r\n"));
    }
    for head in [
        "X: y",
        "Host: a\r\nHost: a",
        "Host: a b",
        "Host: me@a",
        "Host: a/b",
    ] {
        assert_eq!(
            refused(format!("GET / HTTP/1.1\r\n{head}\r\n\r\n")),
            400,
            "{head}"
        );
    }
    assert_eq!(
        told("GET / HTTP/1.0\r\n\r\n"),
        "GET / of nobody with \"\"\n"
    );
}

#[test]
fn a_connection_stays_or_ends_as_version_and_options_say() {
    for (version, option, stays) in [
        ("1.1", "x", true),
        ("1.1", "TE , CLOSE", false),
        ("1.1", "x\r\nConnection: close", false),
        ("1.0", "x", false),
        ("1.0", "Keep-Alive", true),
        ("1.0", "keep-alive, close", false),
    ] {
        let mut bench = Bench::new();
        let client = bench.connect();
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: {option}\r\n\r\n");
        bench.say(client, head + &get("/next"));
        let heard = String::from_utf8(bench.client(client).heard.clone()).unwrap();
        let says = |option: &str| heard.contains(&format!("\r\nConnection: {option}\r\n"));
        assert_eq!(
            bench.answers(client).len(),
            1 + usize::from(stays),
            "{heard}"
        );
        assert_eq!(
            (says("close"), bench.client(client).ends),
            (!stays, usize::from(!stays))
        );
        assert_eq!(says("keep-alive"), stays && version == "1.0");
    }
}

#[test]
fn what_is_no_request_ends_the_connection() {
    let long = "x".repeat(16 << 10);
    let many = "X: y\r\n".repeat(100);
    let with = |headers: &str| format!("PUT / HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n");
    for (bytes, status) in [
        ("\u{1}\u{2}\u{3}".to_owned(), 400),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}".to_owned(), 400),
        ("GET / HTTP/2.0\r\n\r\n".to_owned(), 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
        ("GET / HTTP/1.2\r\n\r\n".to_owned(), 505),
        ("GET / FTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET /\r\n\r\n".to_owned(), 400),
        (format!("GET /{long}"), 431),
        (with(&format!("X: {long}")), 431),
        (with(many.trim_end()), 431),
        (with("Content-Length: 65537"), 413),
        (with("Content-Length: 99999999999999999999999"), 413),
        (with("Transfer-Encoding: chunked\r\n\r\n10001\r\n"), 413),
        (
            with("Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"),
            413,
        ),
        (
            with(&format!("Transfer-Encoding: chunked\r\n\r\n1;{long};x")),
            431,
        ),
        (
            with(&format!("Transfer-Encoding: chunked\r\n\r\n0\r\nX:{long}")),
            431,
        ),
        (with("Transfer-Encoding: gzip, chunked"), 501),
        (with("Expect: a miracle"), 417),
        (with("Expect: 100-continue, a miracle"), 417),
    ] {
        assert_eq!(refused(&bytes), status, "{}", &bytes[..bytes.len().min(80)]);
    }
}

#[test]
fn the_longest_head_and_body_are_taken() {
    let config = HttpConfig::new()
        .with_head_bytes_max(100)
        .with_body_bytes_max(7);
    let mut bench = Bench::with(config);
    let head = |len: usize| {
        let head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\nX: \r\n\r\n";
        head.replace("X: ", &format!("X: {}", "x".repeat(len - head.len())))
    };
    for (len, status) in [(100, 200), (101, 431)] {
        let client = bench.connect();
        bench.say(client, head(len) + "1234567");
        assert_eq!(bench.statuses(client), [status]);
    }
    for (chunks, status) in [
        ("3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n", 200),
        ("3\r\nabc\r\n5\r\n", 413),
    ] {
        let client = bench.connect();
        let head = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        bench.say(client, format!("{head}{chunks}"));
        assert_eq!(bench.statuses(client), [status]);
    }
    let counters = bench.counters();
    assert_eq!((counters.head_too_long, counters.body_too_long), (1, 1));
}

#[test]
fn who_waits_for_a_word_before_the_body_gets_it_if_the_body_is_wanted() {
    let head = |version: &str, len: usize| {
        let head = format!("PUT / HTTP/{version}\r\nHost: a\r\nContent-Length: {len}\r\n");
        head + "Expect: 100-Continue\r\n\r\n"
    };
    let word = "HTTP/1.1 100 Continue\r\n\r\n";
    let mut bench = Bench::new();
    for (say, hears) in [
        (head("1.1", 3), word),
        (head("1.1", 3) + "a", ""),
        (head("1.0", 3), ""),
    ] {
        let client = bench.connect();
        bench.say(client, &say);
        assert_eq!(bench.client(client).heard, hears.as_bytes(), "{say}");
        bench.say(client, if say.ends_with('a') { "bc" } else { "abc" });
        let answer = bench.client(client).heard[hears.len()..].to_vec();
        assert_eq!(
            answers(&answer),
            [(200, "PUT / of a with \"abc\"\n".to_owned())]
        );
    }
    assert_eq!(refused(head("1.1", 1 << 20)), 413, "before the body comes");
    assert_eq!(
        hear(head("1.1", 0)).len(),
        1,
        "there is nothing to wait for"
    );

    // Without room for the word it comes later; the body may come before.
    let client = bench.connect_with_room(10);
    bench.say(client, head("1.1", 3));
    assert_eq!(bench.client(client).reading, Reading::Paused);
    bench.make_room(client, 1 << 20);
    assert_eq!(bench.client(client).heard, word.as_bytes());
    bench.say(client, "abc");
    assert!(bench.client(client).heard.ends_with(b"with \"abc\"\n"));
}

#[test]
fn some_answers_have_no_body_whatever_the_task_says() {
    for (status, has_length) in [(204, false), (205, true), (304, false), (404, true)] {
        let mut bench = Bench::new();
        let client = bench.connect();
        bench.say(client, get(&format!("/status/{status}")) + &get("/next"));
        let answers = bench.answers(client);
        assert_eq!(answers[0].0, status);
        assert_eq!(answers[0].1.is_empty(), status != 404);
        assert_eq!(answers[1].0, 200, "the next one begins where it should");
        let heard = String::from_utf8(bench.client(client).heard.clone()).unwrap();
        let head = heard.split("\r\n\r\n").next().unwrap();
        assert_eq!(head.contains("Content-Length"), has_length, "{head}");
    }
}

#[test]
fn what_is_about_the_connection_is_the_servers_to_say() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.say(client, get("/last") + &get("/next"));
    let heard = String::from_utf8(bench.client(client).heard.clone()).unwrap();
    assert_eq!(bench.answers(client)[0].1, "GET /last of here with \"\"\n");
    for line in ["X-Kept: yes", "Connection: close", "Content-Length: 26"] {
        assert_eq!(
            heard.matches(&format!("\r\n{line}\r\n")).count(),
            1,
            "{heard}"
        );
    }
    assert!(!heard.contains("Keep-Alive"), "{heard}");
    assert_eq!(
        (bench.answers(client).len(), bench.client(client).ends),
        (1, 1)
    );
}

#[test]
fn a_long_answer_shares_its_memory_with_all_who_get_it() {
    let mut bench = Bench::new();
    let page = bench.desk.borrow().long.as_ptr();
    for _ in 0..3 {
        let client = bench.connect();
        bench.say(client, get("/long"));
        let writes = &bench.client(client).writes;
        assert_eq!((writes.len(), writes[1].as_ptr()), (2, page));
    }
}

#[test]
fn an_interim_answer_is_a_mistake_of_the_task() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.say(client, get("/later"));
    bench.answer_with(StatusCode::PROCESSING, "wait");
    let ends = &bench.wire().ends;
    assert!(
        ends[0].starts_with("panicked: 102 Processing is not an answer"),
        "{ends:?}"
    );
    assert_eq!(
        bench.client(client).fate,
        Fate::Reset,
        "nobody takes half for whole"
    );
}

#[test]
fn a_problem_is_json_whatever_is_to_be_said() {
    let answer = problem(StatusCode::BAD_REQUEST, "\"a\\b\"\n\u{1}é");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let json: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(json["title"], "Bad Request");
    assert_eq!(json["status"], 400);
    assert_eq!(json["detail"], "\"a\\b\"\n\u{1}é");
}
