//! Metrics, as Prometheus reads them: counts and times; no statement and no name of anybody.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use portcullis_proxy::{Histogram, MetricsView};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::caller;
use crate::guard::Peer;
use crate::parts::Lags;
use crate::problem::Problem;
use crate::role::{Need, Role};
use crate::shared::Shared;

const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const MICROSECONDS_A_SECOND: f64 = 1_000_000.0;

/// `GET /metrics`: open on a loopback address, for viewers elsewhere.
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Peer(address): Peer,
    headers: HeaderMap,
) -> Response {
    // What listens beyond this machine may have a balancer on it, whose requests all come
    // from here: so it is the listener's address that counts.
    if !shared.address.ip().is_loopback() {
        let viewer = Need::Role(&[Role::Viewer]);
        let caller = match caller::given(&headers) {
            Some(given) => caller::by(&shared, given, address).await,
            None => Err(Problem::login()),
        };
        if let Err(problem) = caller.and_then(|caller| caller.meets(viewer)) {
            return problem.into_response();
        }
    }
    let mut registry = Registry::with_prefix("portcullis");
    registry.register_collector(Box::new(Numbers::of(&shared).await));
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response(),
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// All numbers of one moment.
#[derive(Debug)]
struct Numbers {
    proxy: MetricsView,
    revision: u64,
    policies: usize,
    policies_failed: usize,
    approvals_pending: usize,
    leases: usize,
    lags: Lags,
    instances: usize,
}

impl Numbers {
    async fn of(shared: &Shared) -> Numbers {
        let summary = shared.parts.sets.borrow().clone();
        Numbers {
            proxy: shared.parts.control.metrics(),
            revision: summary.revision,
            policies: summary.policies.len(),
            policies_failed: summary.failures.len(),
            approvals_pending: shared.parts.approvals.waiting(),
            leases: shared.parts.approvals.leases().len(),
            lags: (shared.parts.lags)(),
            instances: shared.parts.population.count(),
        }
    }
}

impl Collector for Numbers {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut text = Text { encoder };
        let proxy = &self.proxy;
        text.gauge("sessions", "Client sessions open now", proxy.sessions as f64)?;
        text.counter("logins", "Logins that were let in", proxy.logins)?;
        text.counter("logins_refused", "Logins that were refused", proxy.logins_refused)?;
        let decisions =
            [("permitted", proxy.permitted), ("denied", proxy.denied), ("held", proxy.held)];
        let counted = decisions.map(|(decision, count)| (decision.to_owned(), count));
        text.counters("decisions", "Messages judged, by decision", "decision", &counted)?;
        text.counter("faults", "Policies that failed to answer", proxy.faults)?;
        text.counter("rows", "Rows that statements returned or changed", proxy.rows)?;
        text.counter("bytes_out", "Bytes sent to clients", proxy.bytes_out)?;
        text.counter("cells_masked", "Cells that were masked", proxy.cells_masked)?;
        let masked = "The same by label; one with two labels counts under both";
        text.counters("cells_masked_by_label", masked, "label", &proxy.cells_masked_by_label)?;
        let observed = "Cells that maskers in observe mode would have masked";
        text.counter("cells_observed", observed, proxy.cells_observed)?;
        let duration = "From a statement's leaving to its end";
        text.histogram("statement_duration_seconds", duration, &proxy.statement_duration_us)?;
        let swap = "What a new policy set kept a worker from its sessions, each time it did";
        text.histogram("policy_swap_seconds", swap, &proxy.policy_swap_us)?;
        text.gauge("policy_revision", "The policy set in force", self.revision as f64)?;
        text.gauge("policies", "Policies in force", self.policies as f64)?;
        let failed = "Policies that could not be put into force as their files say";
        text.gauge("policies_failed", failed, self.policies_failed as f64)?;
        let instances = "Instances of plugins that there are";
        text.gauge("plugin_instances", instances, self.instances as f64)?;
        let waiting = "Statements that wait for approval";
        text.gauge("approvals_pending", waiting, self.approvals_pending as f64)?;
        text.gauge("leases", "Leases in force", self.leases as f64)?;
        let ledger = "Age of the oldest record that is not on disk yet";
        text.gauge("ledger_lag_seconds", ledger, self.lags.ledger.as_secs_f64())?;
        let sinks = self.lags.sinks.iter();
        let sinks: Vec<(String, f64)> =
            sinks.map(|sink| (sink.policy.clone(), sink.behind.as_secs_f64())).collect();
        text.gauges("sink_lag_seconds", "How far a sink is behind", "policy", &sinks)
    }
}

/// Writes one family after another.
struct Text<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Text<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let gauge = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(gauge)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let counter = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(counter)
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: &[(String, u64)],
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        values.iter().try_for_each(|(key, value)| {
            let labels = [(label, key.as_str())];
            ConstCounter::new(*value).encode(family.encode_family(&labels)?)
        })
    }

    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: &[(String, f64)],
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        values.iter().try_for_each(|(key, value)| {
            let labels = [(label, key.as_str())];
            ConstGauge::new(*value).encode(family.encode_family(&labels)?)
        })
    }

    /// Counts beyond the last bound are in a bucket without one.
    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        let bounds = histogram.bounds.iter().map(|bound| *bound as f64 / MICROSECONDS_A_SECOND);
        let bounds = bounds.chain(std::iter::once(f64::MAX));
        let buckets: Vec<(f64, u64)> = bounds.zip(histogram.counts.iter().copied()).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = histogram.sum as f64 / MICROSECONDS_A_SECOND;
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        family.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}
