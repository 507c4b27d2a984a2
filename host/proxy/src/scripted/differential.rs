//! The same conversation with the played server and with a session before it.

use super::frames::{Frames, messages};
use super::{Play, Postgres, Rig, alphabet, sequence};

/// A conversation out of numbers: each but the highest is a message, and those let all that was
/// said so far be answered first.
pub struct Random {
    turns: Vec<Frames>,
}

/// From this number on it is no message.
const ANSWERED: u8 = 0xe0;

impl Random {
    pub fn new(numbers: &[u8]) -> Random {
        let alphabet = alphabet::client();
        let mut turns = vec![Frames::new()];
        for number in numbers {
            if *number >= ANSWERED {
                turns.push(Frames::new());
            } else if let (Some(turn), Some(message)) =
                (turns.last_mut(), alphabet.get(usize::from(*number) % alphabet.len()))
            {
                *turn = std::mem::take(turn).and(message);
            }
        }
        // A COPY or a pipeline that is left open is ended.
        turns.push(Frames::new().copy_fail("over").sync().query("select 1"));
        Random { turns }
    }

    /// What was said, for people.
    pub fn shown(&self) -> String {
        let word =
            |(tag, body): &(u8, Vec<u8>)| format!("{}({})", char::from(*tag), body.escape_ascii());
        let turn = |turn: &Frames| {
            let (said, _) = messages(turn.bytes());
            said.iter().map(word).collect::<Vec<_>>().join(" ")
        };
        self.turns.iter().map(turn).collect::<Vec<_>>().join("\n")
    }

    /// Holds it both ways; so many bytes at most pass to and from the session at once. At the end
    /// of a turn the client may know more than the server alone would have told it, where the
    /// session has sent a Flush of its own.
    ///
    /// # Errors
    /// Where the client hears something else from the session than from the server, or where
    /// something of the client's reached the server behind a refusal.
    pub fn check(&self, rig: &mut Rig, at_once_bytes: usize) -> Result<(), String> {
        let mut play = rig.play();
        play.client.pass_at_once(at_once_bytes);
        play.server.pass_at_once(at_once_bytes);
        let (mut direct, mut proxied) = (Postgres::default(), Postgres::default());
        let (mut told, mut heard) = (Vec::new(), Vec::new());
        for (number, turn) in self.turns.iter().enumerate() {
            told.append(&mut direct.answer(turn.bytes()));
            play.client.send(turn.bytes());
            heard.append(&mut play.answered_by(&mut proxied));
            if direct.is_unclear {
                break;
            }
            let (expected, heard) = (sequence(&told), sequence(&heard));
            if play.is_over() {
                return ended(&expected, &heard);
            }
            let more = refusals_alike(&heard)
                .strip_prefix(&refusals_alike(&expected))
                .map(|more| !more.is_empty());
            let is_early = more == Some(true) && number + 1 < self.turns.len();
            if more != Some(false) && !(is_early && proxied.flushes > direct.flushes) {
                return Err(format!("turn {number}: heard {heard}, not {expected}"));
            }
        }
        silent_behind_refusals(&proxied)?;
        goes(play)
    }
}

/// What the server calls a syntax error, and `forbidden` missing, the proxy refuses.
fn refusals_alike(sequence: &str) -> String {
    sequence.replace("E:42601", "E:refused").replace("E:42501", "E:refused")
}

/// A message that has no place in a COPY ends the session, where the server would go on. All
/// that was answered before is the same.
fn ended(expected: &str, heard: &str) -> Result<(), String> {
    let heard = refusals_alike(heard);
    let before = heard.strip_suffix("E:08P01").ok_or(format!("ended with {heard}"))?;
    let expected = refusals_alike(expected);
    match expected.split_once("E:08P01") {
        Some((same, _)) if same == before => Ok(()),
        // The server's own error about the data may be on its way.
        _ if before.ends_with("G ") && expected.starts_with(before) => Ok(()),
        _ => Err(format!("ended with {heard}, not {expected}")),
    }
}

/// Nothing of the client's goes to the server between a refusal in the extended protocol and
/// the Sync behind it.
fn silent_behind_refusals(postgres: &Postgres) -> Result<(), String> {
    let mut refused = false;
    for (tag, body) in &postgres.heard {
        let stands_in = body.starts_with(b"portcullis_denied_");
        match tag {
            b'E' if stands_in => refused = true,
            b'S' => refused = false,
            // A Flush of the proxy's own asks for nothing.
            b'H' => {}
            _ if refused => {
                let what = body.escape_ascii();
                return Err(format!(
                    "behind a refusal the server heard {}({what})",
                    char::from(*tag)
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The client leaves, and the session with it.
fn goes(mut play: Play) -> Result<(), String> {
    play.client.close();
    play.settle();
    play.is_over().then_some(()).ok_or_else(|| "the session outlives its client".to_owned())
}
