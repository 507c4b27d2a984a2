//! A new connection, with SCRAM on both legs.

use std::time::Instant;

use portcullis_identity::{
    ChannelBinding, MockSecret, ScramClient, ScramServer, UpstreamKeys, UserConfig, Users,
};

use crate::accounts;
use crate::failure::Failure;
use crate::finding::{Finding, Unit};
use crate::measuring::{Done, Measuring};
use crate::portcullis::Who;
use crate::rounds::{Sample, median};
use crate::stage::PASSWORD;
use crate::target::Target;

const VERIFICATIONS: usize = 2_000;
const STATEMENT: &str = "SELECT 1";

/// Login, a statement and goodbye, one after the other: what that costs beyond the splice's
/// share, in verifications.
pub(crate) fn cpu(measuring: &Measuring) -> Result<Vec<Finding>, Failure> {
    let proxy = measuring.portcullis(1)?;
    let ours = proxy.target("portcullis", Who::Usual);
    let mut targets = vec![measuring.stage.direct(), measuring.splice.clone(), ours];
    targets.extend(measuring.peers.iter().cloned());
    // The first login derives keys, here and in the proxy.
    targets.iter().try_for_each(come_and_go)?;
    let mut connected = 1;
    let samples = measuring.rounds(&targets, |index| {
        let Some(target) = targets.get(index) else { return Err(Failure::new("nobody is there")) };
        let begun = Instant::now();
        let mut units = 0;
        while begun.elapsed() < measuring.time {
            come_and_go(target)?;
            units += 1;
        }
        connected += u64::from(target.pid == Some(proxy.pid())) * units;
        let per_second = units as f64 / begun.elapsed().as_secs_f64();
        Ok(Done { units, per_second })
    })?;
    accounts::check(&proxy, "SELECT $1", connected, connected)?;
    let verification_us = verification_us(&measuring.stage.verifier)?;
    let cpu = Sample::cpu_us_per_unit;
    let pairs = samples.of("portcullis").iter().zip(samples.of("splice"));
    let beyond = pairs.map(|(ours, splice)| (cpu(ours) - cpu(splice)) / verification_us).collect();
    let splice_us = samples.median("splice", cpu);
    let mut findings = vec![
        Finding::reported(
            "CPU per connection beyond the splice, in verifications",
            median(beyond),
            Unit::Times,
        )
        .measured(format!("{:.0} µs", samples.median("portcullis", cpu)))
        .beside(format!("splice {splice_us:.0} µs, a verification {verification_us:.1} µs"))
        .limits(1.2, None),
    ];
    findings.extend(measuring.peers.iter().map(|peer| {
        let title = format!("CPU per connection: {}", peer.name);
        Finding::reported(title, samples.median(&peer.name, cpu), Unit::Microseconds)
    }));
    Ok(findings)
}

fn come_and_go(target: &Target) -> Result<(), Failure> {
    let come_and_go = || {
        let mut session = target.connect()?;
        session.query(STATEMENT, |_| {})?;
        session.close()
    };
    come_and_go().map_err(Failure::to(format!("connect to {}", target.name)))
}

/// What a server does to verify one login whose verifier it keeps: no key is derived.
fn verification_us(verifier: &str) -> Result<f64, Failure> {
    let verifier = verifier.parse().map_err(|_| Failure::new("PostgreSQL's verifier is odd"))?;
    let user = UserConfig {
        name: "usual".to_owned(),
        verifier: Some(verifier),
        certificates: Vec::new(),
        groups: Vec::new(),
        kind: portcullis_policy::PrincipalKind::Human,
        acts_for: None,
        databases: None,
    };
    let secret = MockSecret::generate().ok_or_else(|| Failure::new("no random numbers"))?;
    let users = Users::new([user], secret);
    let keys = std::sync::Arc::new(UpstreamKeys::new(PASSWORD.to_owned()));
    let mut took_us = Vec::new();
    for _ in 0..VERIFICATIONS {
        let mechanisms = [portcullis_identity::SCRAM_SHA_256];
        let unbound = ChannelBinding::Unavailable;
        let failed = |_| Failure::new("a login with the right password failed");
        let mut client = ScramClient::begin(mechanisms, &unbound, keys.clone())
            .map_err(Failure::to("begin a login"))?;
        let first = client.first();
        let begun = Instant::now();
        let mut server = ScramServer::begin(&users, "usual", ChannelBinding::Unavailable);
        let challenge = server.first(client.mechanism(), &first).map_err(failed)?;
        let mut took = begun.elapsed();
        let proof = client.respond(&challenge).map_err(Failure::to("answer a challenge"))?;
        let begun = Instant::now();
        let (last, _) = server.finish(&proof).map_err(failed)?;
        took += begun.elapsed();
        client.verify(&last).map_err(Failure::to("verify the server"))?;
        took_us.push(took.as_secs_f64() * 1e6);
    }
    Ok(median(took_us))
}
