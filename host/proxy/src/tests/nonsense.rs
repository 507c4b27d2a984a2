//! A server that breaks the protocol: its client is told, nothing of a value gets past its mask,
//! nobody hangs, and no other session hears of it.

use super::*;
use crate::scripted::{EMAIL, Frames, NOTE, PEOPLE, sequence};

/// A value of a column that is hidden.
const SECRET: &[u8] = b"ana@example.com";

fn new() -> Frames {
    Frames::new()
}

/// Columns of `people`, of which the last is hidden.
fn columns() -> Frames {
    new().columns(&[("id", (PEOPLE, 1), 23), ("name", (PEOPLE, 2), 25), ("email", EMAIL, 25)])
}

fn row() -> Frames {
    new().row(&[Some(b"1"), Some(b"Ana"), Some(SECRET)])
}

fn hears_secret(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|part| part == SECRET)
}

/// A client asks, and the server answers with nonsense. The client hears `told`; where that ends
/// with an error of the proxy's, the session is over.
fn check(asked: &Frames, answer: &Frames, told: &str) {
    stage(|stage| {
        let (mut play, mut other) = (stage.rig.play(), stage.rig.play());
        other.client_says(new().query("select id from people").bytes());
        play.client_says(asked.bytes());
        play.server_says(answer.bytes());
        let heard = play.client.receive();
        assert_eq!(sequence(&heard), told, "{answer:?}");
        assert!(!hears_secret(&heard), "{answer:?}");
        let ends = ["E:08P01", "E:0A000", "E:42501"].iter().any(|end| told.ends_with(end));
        assert_eq!(play.is_over(), ends, "{answer:?}");
        play.client.reset();
        play.settle();
        assert!(play.is_over());
        // Another session of the same worker neither hears of it nor is held up.
        assert_eq!(other.client.receive(), b"");
        other.server_says(new().columns(&[("id", (PEOPLE, 1), 23)]).complete("SELECT 0").bytes());
        other.server_says(new().ready(b'I').bytes());
        assert_eq!(sequence(&other.client.receive()), "T C:SELECT 0 Z:I");
        other.client.close();
        other.settle();
        stage.endings();
    });
}

#[test]
fn in_answer_to_a_query() {
    let cut = |body: &[u8]| new().raw(b'D', body);
    let ready = || new().complete("SELECT 1").ready(b'I');
    // First what is right.
    check(&query(), &columns().and(&row()).and(&ready()), "T D*1 C:SELECT 1 Z:I");
    let rows: [(&str, Frames); 8] = [
        ("too short", cut(b"\0\x03\0\0\0\x011")),
        ("empty", cut(b"")),
        ("a negative length", cut(b"\0\x03\0\0\0\x011\xff\xff\xff\xfe\xff\xff\xff\xff")),
        ("a length beyond its end", cut(b"\0\x03\0\0\0\x011\x7f\xff\xff\xff\xff\xff\xff\xff")),
        ("fewer columns", new().row(&[Some(b"1"), Some(SECRET)])),
        ("more columns", new().row(&[Some(b"1"), Some(b"a"), Some(SECRET), Some(SECRET)])),
        ("no columns", new().row(&[])),
        ("bytes behind it", cut(b"\0\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xffx")),
    ];
    for (_, row) in &rows {
        check(&query(), &columns().and(row).and(&ready()), "T E:08P01");
    }
    // Rows that nobody described.
    check(&query(), &row().and(&ready()), "E:08P01");
    // What answers something else, or nothing at all.
    for tag in *b"123stcVKRWvpQX\0\xff" {
        check(&query(), &columns().raw(tag, b""), "T E:08P01");
    }
    // Descriptions that cannot be.
    let format = [&b"\0\x01x\0"[..], &[0; 16], b"\0\x07"].concat();
    for body in [&b"\0\x01"[..], b"\xff\xff", b"", &format] {
        check(&query(), &new().raw(b'T', body), "E:08P01");
    }
    // No columns, and rows that have some.
    check(&query(), &new().columns(&[]).and(&row()), "T E:08P01");
    check(&query(), &new().columns(&[]).row(&[]).and(&ready()), "T D*1 C:SELECT 1 Z:I");
    // Errors and notices that do not end, and an error without a SQLSTATE.
    check(&query(), &new().raw(b'E', b"SERROR"), "E:08P01");
    check(&query(), &new().raw(b'N', b"SNOTICE"), "E:08P01");
    check(&query(), &new().raw(b'E', b"SERROR\0Mno code\0\0").ready(b'I'), "E Z:I");
    check(&query(), &new().raw(b'E', b"\0").ready(b'I'), "E Z:I");
    // A status that there is not.
    for status in [&b""[..], b"X", b"II"] {
        check(&query(), &columns().complete("SELECT 0").raw(b'Z', status), "T C:SELECT 0 E:08P01");
    }
    // The end of two statements, and no word of either. Both have theirs in the ledger.
    let two = new().query("select id from people; select note from notes");
    check(&two, &new().ready(b'I'), "Z:I");
    // An encoding that nobody here reads.
    check(&query(), &new().parameter("client_encoding", "SJIS"), "E:0A000");
    check(&query(), &new().raw(b'S', b"client_encoding"), "E:08P01");
}

fn query() -> Frames {
    new().query("select id, name, email from people")
}

#[test]
fn lengths_that_cannot_be() {
    for (header, told) in [
        (&b"D\0\0\0\x03"[..], "E:08P01"),
        (b"D\0\0\0\0", "E:08P01"),
        (b"D\xff\xff\xff\xff", "E:54000"),
        (b"D\x80\0\0\0", "E:54000"),
        (b"D\x7f\xff\xff\xff", "E:54000"),
    ] {
        stage(|stage| {
            let mut play = stage.rig.play();
            play.client_says(query().bytes());
            play.server_says(header);
            assert_eq!(sequence(&play.client.receive()), told, "{header:?}");
            assert!(play.is_over());
            assert_eq!(stage.endings(), ["lost"]);
        });
    }
}

#[test]
fn in_answer_to_nothing() {
    for answer in [
        row(),
        columns(),
        new().complete("SELECT 1"),
        new().ready(b'I'),
        new().raw(b'1', b""),
        new().raw(b's', b""),
        new().copy(b'G', 2),
        new().copy(b'H', 2),
        new().copy_data(SECRET),
        new().raw(b'x', b""),
    ] {
        check(&new(), &answer, "E:08P01");
    }
    // Behind an answer that was right.
    let answered = columns().complete("SELECT 0").ready(b'I');
    check(&query(), &answered.clone().and(&row()), "T C:SELECT 0 Z:I E:08P01");
    check(&query(), &answered.clone().ready(b'I'), "T C:SELECT 0 Z:I E:08P01");
    // What comes unasked by right passes.
    check(&new(), &new().notice("a notice").parameter("TimeZone", "UTC"), "");
}

#[test]
fn in_answer_to_a_pipeline() {
    let asked = || new().run("select id, name, email from people").sync();
    let bound = || new().raw(b'1', b"").raw(b'2', b"");
    let right = bound().and(&columns()).and(&row()).complete("SELECT 1").ready(b'I');
    check(&asked(), &right, "1 2 D*1 C:SELECT 1 Z:I");
    // The order is another, something is left out, or comes twice.
    check(&asked(), &new().raw(b'2', b""), "E:08P01");
    check(&asked(), &new().raw(b'1', b"").raw(b'1', b""), "1 E:08P01");
    check(&asked(), &bound().and(&row()), "1 2 E:08P01");
    check(&asked(), &bound().ready(b'I'), "1 2 E:08P01");
    check(&asked(), &bound().and(&columns()).and(&columns()), "1 2 E:08P01");
    check(&asked(), &bound().raw(b'n', b"").and(&row()), "1 2 E:08P01");
    check(&asked(), &bound().and(&columns()).and(&row()).ready(b'I'), "1 2 D*1 E:08P01");
    // A description that hides where the column comes from shows nothing of it either.
    let strange = new().columns(&[("a", NOTE, 23), ("b", (0, 0), 25), ("c", (99_999, 1), 25)]);
    let answer = bound().and(&strange).and(&row()).complete("SELECT 1").ready(b'I');
    check(&asked(), &answer, "1 2 D*1 C:SELECT 1 Z:I");
}

#[test]
fn copy_that_nobody_asked_for() {
    let data = |line: &[u8]| new().copy(b'H', 3).copy_data(line);
    let copies = || new().query("copy people to stdout");
    let line = [b"1\tAna\t", SECRET, b"\n"].concat();
    let whole = data(&line).copy_done().complete("COPY 1").ready(b'I');
    check(&copies(), &whole, "H d c C:COPY 1 Z:I");
    // Fewer fields, half a line, data ahead of its time.
    check(&copies(), &data(b"1\tAna\n"), "H E:08P01");
    check(&copies(), &data(b"1\tAna\thalf").copy_done(), "H E:08P01");
    check(&copies(), &new().copy_data(&line), "E:08P01");
    // COPY where a SELECT was asked: its form is not known, so nothing of it is shown.
    check(&query(), &data(&line), "E:42501");
}

/// Notices have no end, and the client takes none of them: what waits is bounded.
#[test]
fn endless_notices() {
    stage(|stage| {
        let mut play = stage.rig.play();
        play.client.take_at_most(0);
        // Of a statement that touches nothing hidden, so that the text is not withheld.
        play.client_says(new().query("select 1").bytes());
        let notice = new().notice(&"x".repeat(1000));
        for _ in 0..4_000 {
            play.server_says(notice.bytes());
        }
        let held = play.server.taken_bytes() - play.client.given_bytes();
        assert!(held <= super::bounds::HELD_BYTES_MAX, "{held} bytes wait");
        assert!(play.server.unread_bytes() > 3_000_000, "the rest stays where it is");
        play.client.reset();
        play.settle();
        assert!(play.is_over());
        assert_eq!(stage.endings(), ["lost"]);
    });
}

/// What the proxy asks of its own, and is answered with nonsense.
#[test]
fn in_answer_to_the_proxys_own_questions() {
    for (answer, told) in [
        (new().columns(&[]).raw(b'D', b"\0\x01\0"), "E:08P01"),
        (new().columns(&[]).complete("SELECT 0").ready(b'?'), "E:08P01"),
        (new().columns(&[]).complete("SELECT 0").ready(b'I').ready(b'I'), "E:08P01"),
        // No rows, or NULL: then nothing is known of how texts are read.
        (new().columns(&[]).complete("SELECT 0").ready(b'I'), ""),
        (new().columns(&[]).row(&[None]).complete("SELECT 1").ready(b'I'), ""),
    ] {
        stage(|stage| {
            let mut play = stage.rig.play();
            let asked = new().query("set search_path to public").query("select id from people");
            play.client_says(asked.bytes());
            play.server_says(new().complete("SET").ready(b'I').bytes());
            assert_eq!(sequence(&play.client.receive()), "C:SET Z:I");
            assert_eq!(heard(&messages(&play.server.receive()).0), "Q Q", "the proxy asks");
            play.server_says(answer.bytes());
            assert_eq!(sequence(&play.client.receive()), told, "{answer:?}");
            assert_eq!(play.is_over(), !told.is_empty(), "{answer:?}");
            play.client.reset();
            play.settle();
            stage.endings();
        });
    }
}
