use std::future::{Future, poll_fn};
use std::sync::Barrier;

use portcullis_policy::approval::{Ineligible, Standing};

use super::*;
use crate::room::{EVENT, World, actor, asker, facts, person, question};

fn start(world: &World, limits: Limits) -> Approvals {
    let [store, recorder, announcer] = [(), (), ()].map(|()| Box::new(world.clone()));
    Approvals::start(store, recorder, announcer, limits).unwrap()
}

fn ask(subject: &str) -> Ask {
    Ask {
        question: question(subject, 1),
        facts: facts(),
        event: EVENT,
        revision: 4,
        expires_in: Duration::from_secs(600),
    }
}

async fn grant(approvals: &Approvals, id: &str, by: &str) -> Result<Standing, DecideError> {
    let view = approvals.grant(id, &person(by, "leads"), actor("forged"), None, 60).await?;
    Ok(view.standing)
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it hangs")
}

async fn answer_to(waiting: &mut Waiting) -> Decided {
    poll_fn(|cx| waiting.poll_decided(cx)).await
}

#[tokio::test]
async fn a_held_message_is_granted_and_the_next_of_its_shape_has_a_lease() {
    let world = World::default();
    let approvals = start(&world, Limits::default());
    assert!(approvals.lease(&asker("ana"), "f1").is_none());
    let mut waiting = approvals.ask(ask("ana")).unwrap();
    let typed = waiting.id().to_lowercase();
    assert_eq!(grant(&approvals, &typed, "ben").await, Ok(Standing::Granted));
    let decided = within(answer_to(&mut waiting)).await;
    let Decided::Granted(grant) = decided else { panic!("{decided:?}") };
    assert_eq!(grant.case(), waiting.id());
    assert!(matches!(within(answer_to(&mut waiting)).await, Decided::Unavailable), "once only");
    assert_eq!(approvals.lease(&asker("ana"), "f1").unwrap().id, waiting.id());
    assert_eq!(approvals.leases().len(), 1);
    let log = world.take_log();
    assert!(log.contains(&"ledger granted by ben".to_owned()), "the approver is named: {log:?}");
    approvals.revoke_lease(waiting.id(), actor("kim")).await.unwrap();
    assert!(approvals.lease(&asker("ana"), "f1").is_none());
}

#[test]
fn of_two_racing_approvers_one_decides() {
    for _ in 0..50 {
        let approvals = start(&World::default(), Limits::default());
        let mut waiting = approvals.ask(ask("ana")).unwrap();
        let (id, eva, both_there) = (waiting.id(), person("eva", "leads"), Barrier::new(2));
        let (granted, refused) = thread::scope(|scope| {
            let granting = scope.spawn(|| {
                both_there.wait();
                block_on(grant(&approvals, id, "ben"))
            });
            both_there.wait();
            let refused = block_on(approvals.refuse(id, &eva, actor("eva"), None));
            (granting.join().unwrap(), refused)
        });
        match block_on(within(answer_to(&mut waiting))) {
            Decided::Granted(_) => {
                assert_eq!(refused.unwrap_err(), Ineligible::Over.into());
                assert_eq!(granted, Ok(Standing::Granted));
            }
            Decided::Refused { reason } => {
                assert_eq!(granted.unwrap_err(), Ineligible::Over.into());
                assert_eq!((reason.as_str(), refused.is_ok()), ("refused by eva", true));
            }
            Decided::Expired | Decided::Withdrawn { .. } | Decided::Unavailable => panic!(),
        }
    }
}

#[test]
fn of_many_approvers_on_many_threads_one_grant_counts() {
    let approvals = start(&World::default(), Limits::default());
    let mut waiting = approvals.ask(ask("ana")).unwrap();
    let granted = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let (approvals, id) = (approvals.clone(), waiting.id().to_owned());
                scope.spawn(move || block_on(grant(&approvals, &id, &format!("lead{number}"))))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(granted.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let over = Err(Ineligible::Over.into());
    assert_eq!(granted.iter().filter(|outcome| **outcome == over).count(), 7);
    assert!(matches!(block_on(answer_to(&mut waiting)), Decided::Granted(_)));
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

#[tokio::test]
async fn a_hundred_wait_at_once_and_each_hears_its_own() {
    let limits = Limits { waiting_max: 100, waiting_per_principal_max: 100, ..Limits::default() };
    let approvals = start(&World::default(), limits);
    let mut waiting: Vec<Waiting> = (0..100).map(|_| approvals.ask(ask("ana")).unwrap()).collect();
    assert_eq!(approvals.ask(ask("ben")).unwrap_err(), AskError::TooMany { waiting_max: 100 });
    assert_eq!((approvals.list().await.len(), approvals.waiting()), (100, 100));
    for (number, waiting) in waiting.iter().enumerate().rev() {
        let kim = person("kim", "leads");
        if number % 2 == 0 {
            assert!(approvals.grant(waiting.id(), &kim, actor("kim"), None, 0).await.is_ok());
        } else {
            assert!(approvals.refuse(waiting.id(), &kim, actor("kim"), None).await.is_ok());
        }
    }
    for (number, waiting) in waiting.iter_mut().enumerate() {
        match within(answer_to(waiting)).await {
            Decided::Granted(grant) => assert_eq!((grant.case(), number % 2), (waiting.id(), 0)),
            Decided::Refused { .. } => assert_eq!(number % 2, 1),
            Decided::Expired | Decided::Withdrawn { .. } | Decided::Unavailable => panic!(),
        }
    }
    assert!(approvals.ask(ask("ben")).is_ok(), "all places are free again");
}

#[tokio::test]
async fn whoever_goes_withdraws() {
    let approvals = start(&World::default(), Limits::default());
    let gone = approvals.ask(ask("ana")).unwrap();
    let gone_id = gone.id().to_owned();
    drop(gone);
    let cancelled = approvals.ask(ask("ana")).unwrap();
    let cancelled_id = cancelled.id().to_owned();
    cancelled.withdraw("cancelled by the client");
    for (id, because) in
        [(gone_id, "the client disconnected"), (cancelled_id, "cancelled by the client")]
    {
        assert_eq!(grant(&approvals, &id, "ben").await.unwrap_err(), Ineligible::Over.into());
        let view = approvals.show(&id, actor("ben")).await.unwrap();
        assert_eq!(view.standing, Standing::Withdrawn);
        assert_eq!(view.ended_because.as_deref(), Some(because));
    }
}

#[tokio::test]
async fn time_is_up_without_anybody_asking() {
    let approvals = start(&World::default(), Limits::default());
    let mut waiting = approvals.ask(Ask { expires_in: Duration::ZERO, ..ask("ana") }).unwrap();
    assert!(matches!(within(answer_to(&mut waiting)).await, Decided::Expired));
    let limits = Limits { wait_max: Duration::from_secs(5), ..Limits::default() };
    let approvals = start(&World::default(), limits);
    let _waiting = approvals.ask(ask("ana")).unwrap();
    let listed = approvals.list().await;
    assert_eq!(listed[0].expires_at - listed[0].asked_at, 5);
}

#[tokio::test]
async fn after_the_end_nothing_waits() {
    let world = World::default();
    let approvals = start(&world, Limits::default());
    let mut waiting = approvals.ask(ask("ana")).unwrap();
    approvals.clone().shut_down();
    let Decided::Withdrawn { reason } = within(answer_to(&mut waiting)).await else { panic!() };
    assert_eq!(reason, "the proxy is shutting down");
    assert_eq!(approvals.ask(ask("ana")).unwrap_err(), AskError::Stopped);
    assert_eq!(grant(&approvals, waiting.id(), "ben").await, Err(DecideError::Stopped));
    assert!(approvals.list().await.is_empty());
    approvals.shut_down();
}

#[tokio::test]
async fn what_nobody_could_release_does_not_wait() {
    let approvals = start(&World::default(), Limits::default());
    let mut orphan = ask("ana");
    orphan.question.needs[0].approval.approvers.clear();
    assert_eq!(approvals.ask(orphan).unwrap_err(), AskError::Nobody);
    let mut needless = ask("ana");
    needless.question.needs.clear();
    assert_eq!(approvals.ask(needless).unwrap_err(), AskError::Nobody);
    for typed in ["", "nonsense!", "7Q2M9KXA"] {
        assert_eq!(grant(&approvals, typed, "ben").await, Err(DecideError::Unknown));
    }
}
