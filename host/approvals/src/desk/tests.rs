use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::places::Places;
use crate::room::{EVENT, World, actor, asker, facts, person, question};

const ID: &str = "7Q2M9KXA";
const ASKED: u64 = 1_000;
const EXPIRES: u64 = 1_060;

struct Room {
    world: World,
    desk: Desk,
    leases: Arc<Leases>,
    places: Arc<Places>,
}

impl Room {
    fn new() -> Room {
        Room::over(World::default())
    }

    fn over(world: World) -> Room {
        let leases = Arc::new(Leases::default());
        let [store, recorder, announcer] = [(), (), ()].map(|()| Box::new(world.clone()));
        let limits = Limits { leases_max: 2, ..Limits::default() };
        let desk =
            Desk::take_up(store, recorder, announcer, limits, Arc::clone(&leases), ASKED).unwrap();
        world.take_log();
        Room { world, desk, leases, places: Places::new(1, 1) }
    }

    fn ask(&mut self, approvals_needed: u32) -> oneshot::Receiver<Decided> {
        self.ask_as(ID, approvals_needed)
    }

    fn ask_as(&mut self, id: &str, approvals_needed: u32) -> oneshot::Receiver<Decided> {
        let (tell, told) = oneshot::channel();
        let case = Case::new(id.into(), question("ana", approvals_needed), ASKED, EXPIRES);
        let attached = Attached { facts: facts(), event: EVENT, revision: 4 };
        self.desk.ask(Open { case, attached, tell, place: self.places.take("ana").unwrap() });
        told
    }

    fn grant(&mut self, by: &str, lease_seconds: u32) -> Result<Standing, DecideError> {
        let word = Word { lease_seconds, ..said(by, None) };
        self.desk.grant(ID, word, ASKED + 10).map(|view| view.standing)
    }

    fn log(&self, expected: &[&str]) {
        assert_eq!(self.world.take_log(), expected);
    }
}

fn said(by: &str, comment: Option<&str>) -> Word {
    let group = if by == "stranger" { "staff" } else { "leads" };
    Word {
        by: person(by, group),
        actor: actor(by),
        comment: comment.map(str::to_owned),
        lease_seconds: 0,
    }
}

fn waits(told: &mut oneshot::Receiver<Decided>) -> bool {
    matches!(told.try_recv(), Err(TryRecvError::Empty))
}

/// What the session was told, in a word.
fn heard(told: &mut oneshot::Receiver<Decided>) -> String {
    match told.try_recv() {
        Ok(Decided::Granted(grant)) => format!("granted {}", grant.case()),
        Ok(Decided::Refused { reason }) => format!("refused: {reason}"),
        Ok(Decided::Expired) => "expired".into(),
        Ok(Decided::Withdrawn { reason }) => format!("withdrawn: {reason}"),
        Ok(Decided::Unavailable) => "unavailable".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_grant_is_in_the_ledger_and_the_store_before_the_session_hears_of_it() {
    let mut room = Room::new();
    let mut told = room.ask(1);
    room.log(&["ledger asked", "store pending", "announced pending"]);
    assert_eq!(room.grant("ben", 300), Ok(Standing::Granted));
    room.log(&[
        "ledger granted by ben",
        "store granted",
        "ledger ended granted: granted by ben",
        "store granted with a lease",
        "announced granted",
    ]);
    assert_eq!(heard(&mut told), format!("granted {ID}"));
    assert!(room.places.take("ana").is_ok(), "its place is free");
}

#[test]
fn a_grant_that_cannot_be_kept_releases_nothing_and_can_be_given_again() {
    let not_kept = DecideError::NotKept { reason: "disk full".into() };
    for fails in ["ledger granted", "store granted", "ledger ended"] {
        let mut room = Room::new();
        let mut told = room.ask(1);
        room.world.fail(Some(fails));
        assert_eq!(room.grant("ben", 300), Err(not_kept.clone()), "{fails}");
        assert!(waits(&mut told), "{fails}");
        assert_eq!(room.leases.count(), 0, "{fails}");
        assert!(room.world.told().leases.is_empty(), "{fails}");
        assert_eq!(room.world.told().cases[ID].standing, Standing::Pending, "{fails}");
        room.world.fail(None);
        assert_eq!(room.grant("ben", 300), Ok(Standing::Granted), "{fails}");
        assert_eq!(heard(&mut told), format!("granted {ID}"), "{fails}");
        assert_eq!(room.leases.count(), 1, "{fails}");
    }
}

#[test]
fn a_void_grant_gives_no_lease_at_the_next_start() {
    let check = |fails: &[&'static str], granted: bool, stored: usize| {
        let mut room = Room::new();
        let _told = room.ask(1);
        room.world.fail(fails.iter().copied());
        assert_eq!(room.grant("ben", 300).is_ok(), granted, "{fails:?}");
        assert_eq!(room.leases.count(), usize::from(granted), "{fails:?}");
        room.world.fail(None);
        let after = Room::over(room.world.clone());
        assert_eq!(after.leases.count(), stored, "{fails:?}");
    };
    check(&[], true, 1);
    check(&["ledger ended granted"], false, 0);
    // Nor can the store take the grant back.
    check(&["ledger ended granted", "store pending"], false, 0);
    check(&["ledger ended granted", "store removes"], false, 0);
    check(&["store granted with"], true, 0);
}

#[test]
fn what_cannot_be_kept_does_not_wait() {
    for fails in ["ledger asked", "store pending"] {
        let mut room = Room::new();
        room.world.fail(Some(fails));
        assert_eq!(heard(&mut room.ask(1)), "unavailable", "{fails}");
        assert!(room.desk.next_end().is_none());
        assert!(room.places.take("ana").is_ok());
    }
    let mut room = Room::new();
    room.world.fail(Some("store pending"));
    room.ask(1);
    room.log(&[
        "ledger asked",
        "store pending FAILED",
        "ledger ended withdrawn: it could not be stored",
    ]);
}

#[test]
fn a_second_case_of_the_same_name_does_not_wait() {
    let mut room = Room::new();
    room.places = Places::new(9, 9);
    let mut first = room.ask(1);
    assert_eq!(heard(&mut room.ask(1)), "unavailable");
    assert_eq!(room.grant("ben", 0), Ok(Standing::Granted));
    assert_eq!(heard(&mut first), format!("granted {ID}"));
    assert_eq!(heard(&mut room.ask(1)), "unavailable", "one that ended has the name, too");
}

#[test]
fn several_approvers_are_counted_each_once() {
    let mut room = Room::new();
    let mut told = room.ask(2);
    assert_eq!(room.grant("ben", 0), Ok(Standing::Pending));
    room.world.take_log();
    assert_eq!(room.grant("ben", 0), Err(Ineligible::VotedAlready.into()));
    room.log(&[]);
    assert!(waits(&mut told));
    assert_eq!(room.grant("eva", 0), Ok(Standing::Granted));
    room.log(&[
        "ledger granted by eva",
        "store granted",
        "ledger ended granted: granted by ben, eva",
        "announced granted",
    ]);
    assert_eq!(heard(&mut told), format!("granted {ID}"));
    assert_eq!(room.grant("kim", 0), Err(Ineligible::Over.into()));
}

#[test]
fn who_may_not_decide_changes_nothing() {
    let mut room = Room::new();
    let mut told = room.ask(1);
    room.world.take_log();
    let long = "x".repeat(1_001);
    let check = |room: &mut Room, id: &str, word: fn() -> Word, expected: DecideError| {
        let granted = room.desk.grant(id, word(), ASKED + 1).unwrap_err();
        let refused = room.desk.refuse(id, word(), ASKED + 1).unwrap_err();
        assert_eq!((granted, refused), (expected.clone(), expected));
    };
    check(&mut room, ID, || said("ana", None), Ineligible::OwnStatement.into());
    check(&mut room, ID, || said("stranger", None), Ineligible::NotApprover.into());
    check(&mut room, "00000000", || said("ben", None), DecideError::Unknown);
    let word = Word { lease_seconds: 601, ..said("ben", None) };
    assert_eq!(room.desk.grant(ID, word, ASKED).unwrap_err(), Ineligible::NoLease.into());
    let word = said("ben", Some(&long));
    let too_long = DecideError::CommentTooLong { bytes_max: 1_000 };
    assert_eq!(room.desk.grant(ID, word, ASKED).unwrap_err(), too_long);
    room.log(&[]);
    assert!(waits(&mut told));
}

#[test]
fn one_refusal_ends_it_even_where_it_cannot_be_kept() {
    let check = |fails: Option<&'static str>, kept: bool| {
        let mut room = Room::new();
        let mut told = room.ask(2);
        assert_eq!(room.grant("ben", 0), Ok(Standing::Pending));
        room.world.fail(fails);
        let refused = room.desk.refuse(ID, said("eva", Some("not\ntoday ")), ASKED + 1);
        assert_eq!(refused.is_ok(), kept, "{fails:?}");
        assert_eq!(heard(&mut told), "refused: refused by eva: not today", "{fails:?}");
        assert_eq!(room.desk.next_end(), None);
    };
    check(None, true);
    check(Some("ledger refused"), false);
    check(Some("ledger ended"), false);
    check(Some("store refused"), false);
}

#[test]
fn what_nobody_decides_expires() {
    let mut room = Room::new();
    let mut told = room.ask(1);
    assert_eq!(room.desk.next_end(), Some(EXPIRES));
    room.desk.tick(EXPIRES - 1);
    assert!(waits(&mut told));
    room.world.take_log();
    room.desk.tick(EXPIRES);
    room.log(&["ledger ended expired: ", "store expired", "announced expired"]);
    assert_eq!(heard(&mut told), "expired");

    let mut room = Room::new();
    let mut told = room.ask(1);
    let late = room.desk.grant(ID, said("ben", None), EXPIRES).unwrap_err();
    assert_eq!((late, heard(&mut told).as_str()), (Ineligible::Over.into(), "expired"));
}

#[test]
fn what_nobody_waits_for_is_not_granted() {
    let mut room = Room::new();
    drop(room.ask(1));
    room.world.take_log();
    assert_eq!(room.grant("ben", 300), Err(Ineligible::Over.into()));
    room.log(&[
        "ledger ended withdrawn: the client disconnected",
        "store withdrawn",
        "announced withdrawn",
    ]);

    let mut room = Room::new();
    let mut told = room.ask(1);
    room.desk.withdraw(ID, "cancelled by the client", ASKED + 1);
    assert_eq!(heard(&mut told), "withdrawn: cancelled by the client");
    room.world.take_log();
    room.desk.withdraw(ID, "cancelled by the client", ASKED + 2);
    room.log(&[]);
}

#[test]
fn a_restart_ends_what_waited_and_keeps_leases() {
    let world = World::default();
    let mut before = Room::over(world.clone());
    before.places = Places::new(9, 9);
    before.ask(1);
    assert!(before.grant("ben", 300).is_err(), "nobody waits any more");
    let mut granted = before.ask_as("AAAAAAAA", 1);
    let word = Word { lease_seconds: 300, ..said("ben", None) };
    assert!(before.desk.grant("AAAAAAAA", word, ASKED).is_ok());
    assert_eq!(heard(&mut granted), "granted AAAAAAAA");
    let told = before.ask_as("BBBBBBBB", 1);
    // The process dies here: nothing is told any more.
    std::mem::forget((before, told));

    let after = Room::over(world.clone());
    let ended = world.told().cases["BBBBBBBB"].clone();
    assert_eq!(ended.standing, Standing::Withdrawn);
    assert_eq!(ended.ended_because.as_deref(), Some("the proxy was restarted"));
    assert_eq!(ended.ended_at, Some(ASKED));
    let found = |now| after.leases.find(&asker("ana"), "f1", now).map(|lease| lease.id.clone());
    assert_eq!(found(ASKED + 299).as_deref(), Some("AAAAAAAA"));
    assert_eq!(found(ASKED + 300), None);
}

#[test]
fn a_lease_is_for_one_shape_of_one_principal_and_ends() {
    let mut room = Room::new();
    let _told = room.ask(1);
    assert_eq!(room.grant("ben", 300), Ok(Standing::Granted));
    let check = |subject: &str, fingerprint: &str, now, expected: bool| {
        let found = room.leases.find(&asker(subject), fingerprint, now).is_some();
        assert_eq!(found, expected, "{subject} {fingerprint} {now}");
    };
    check("ana", "f1", ASKED + 10, true);
    check("ana", "f1", ASKED + 309, true);
    check("ana", "f1", ASKED + 310, false);
    check("ana", "f2", ASKED + 10, false);
    check("ben", "f1", ASKED + 10, false);
    room.desk.tick(ASKED + 310);
    assert_eq!(room.leases.count(), 0);
    assert!(room.world.told().leases.is_empty());
}

#[test]
fn a_revoked_lease_is_out_of_force_at_once() {
    for fails in [None, Some("store removes"), Some("ledger lease")] {
        let mut room = Room::new();
        let _told = room.ask(1);
        assert_eq!(room.grant("ben", 300), Ok(Standing::Granted));
        room.world.fail(fails);
        let revoked = room.desk.revoke_lease(ID, actor("kim"), ASKED + 20);
        assert_eq!(revoked.is_ok(), fails.is_none(), "{fails:?}");
        assert!(room.leases.find(&asker("ana"), "f1", ASKED + 20).is_none(), "{fails:?}");
        let again = room.desk.revoke_lease(ID, actor("kim"), ASKED + 20);
        assert_eq!(again, Err(DecideError::Unknown), "{fails:?}");
    }
}

#[test]
fn leases_are_bounded_in_number() {
    let mut room = Room::new();
    for id in ["AAAAAAAA", "BBBBBBBB", "CCCCCCCC"] {
        room.places = Places::new(9, 9);
        let _told = room.ask_as(id, 1);
        let leased = Word { lease_seconds: 60, ..said("ben", None) };
        let granted = room.desk.grant(id, leased, ASKED).map(|view| view.standing);
        if id == "CCCCCCCC" {
            assert_eq!(granted, Err(DecideError::TooManyLeases { leases_max: 2 }));
            assert!(room.desk.grant(id, said("ben", None), ASKED).is_ok());
        } else {
            assert_eq!(granted, Ok(Standing::Granted));
        }
    }
}

#[test]
fn what_is_shown_is_recorded_first() {
    let mut room = Room::new();
    let _told = room.ask(1);
    room.world.take_log();
    let shown = room.desk.show(ID, actor("ben")).unwrap();
    assert_eq!(shown.facts, facts());
    room.log(&["ledger shown to ben"]);
    let listed = room.desk.list();
    assert!(listed[0].facts.earlier.is_empty(), "a list does not tell all");
    room.log(&[]);
    room.world.fail(Some("ledger shown"));
    let not_kept = DecideError::NotKept { reason: "disk full".into() };
    assert_eq!(room.desk.show(ID, actor("ben")), Err(not_kept));
    assert_eq!(room.desk.show("00000000", actor("ben")), Err(DecideError::Unknown));
}

#[test]
fn closing_tells_everybody_who_waits_and_ends_leases() {
    let mut room = Room::new();
    room.places = Places::new(9, 9);
    let _granted = room.ask(1);
    assert_eq!(room.grant("ben", 300), Ok(Standing::Granted));
    let mut told = room.ask_as("AAAAAAAA", 1);
    room.desk.close("the proxy is shutting down", ASKED + 1);
    assert_eq!(heard(&mut told), "withdrawn: the proxy is shutting down");
    let Room { desk, leases, world, .. } = room;
    drop(desk);
    assert_eq!(leases.count(), 0);
    assert_eq!(world.told().leases.len(), 1, "the store keeps them for the next start");
}
