//! Messages to make conversations of, by number.

use super::frames::Frames;

/// What a client may say; some of it does not fit what was said before.
pub fn client() -> Vec<Frames> {
    let new = Frames::new;
    let texts = [
        "select 1",
        "select generate_series(1, 3)",
        "begin",
        "commit",
        "rollback",
        "select 1/0",
        "select 1/(n-3) from generate_series(1, 9) n",
        "insert into notes values (1, 'one')",
        "set datestyle to iso",
        "copy notes from stdin",
        "copy notes to stdout",
        "refuse this",
        "",
        "select id from forbidden",
    ];
    let together = [
        "select 1; select 1",
        "begin; select 1",
        "begin; select 1/0",
        "select 1; commit; begin",
        "select 1; refuse this",
        "copy notes from stdin; select 1",
        "set search_path to public; select 1",
    ];
    let mut said: Vec<Frames> = texts.iter().map(|text| new().query(text)).collect();
    said.extend(together.iter().map(|text| new().query(text)));
    said.extend(texts.iter().map(|text| new().parse("", text)));
    said.extend(texts.iter().map(|text| new().parse("s", text)));
    said.extend([
        new().parse("t", "select generate_series(1, 3)"),
        new().bind("", ""),
        new().bind("", "s"),
        new().bind("p", "s"),
        new().bind("p", ""),
        new().bind("q", "t"),
        new().describe(b'S', ""),
        new().describe(b'S', "s"),
        new().describe(b'P', ""),
        new().describe(b'P', "p"),
        new().execute("", 0),
        new().execute("p", 0),
        new().execute("q", 2),
        new().close(b'S', ""),
        new().close(b'S', "s"),
        new().close(b'P', "p"),
        new().sync(),
        new().sync(),
        new().flush(),
        new().copy_data(b"1\tone\n"),
        new().copy_data(b"bad\tone\n"),
        new().copy_done(),
        new().copy_fail("enough"),
        new().run("select 1").sync(),
        new().run("begin").sync(),
        new().run("refuse this").sync(),
    ]);
    said
}
