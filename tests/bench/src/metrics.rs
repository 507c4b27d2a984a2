//! The proxy's own numbers, as Prometheus would read them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::failure::Failure;

/// How many were at most so much: cumulative counts by upper bound in seconds, the last one
/// without a bound.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buckets(Vec<(f64, u64)>);

impl Buckets {
    /// What was added since `before`.
    pub(crate) fn since(&self, before: &Buckets) -> Buckets {
        let earlier = |place: usize| before.0.get(place).map_or(0, |(_, count)| *count);
        let pairs = self.0.iter().enumerate();
        Buckets(pairs.map(|(place, (bound, count))| (*bound, count - earlier(place))).collect())
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count)
    }

    /// The least bound that none exceeded.
    pub(crate) fn longest(&self) -> f64 {
        let all = self.count();
        let bound = self.0.iter().find(|(_, count)| *count == all);
        bound.map_or(f64::INFINITY, |(bound, _)| *bound)
    }

    /// The least bound that this part did not exceed.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let wanted = self.count() as f64 * part;
        let bound = self.0.iter().find(|(_, count)| *count as f64 >= wanted);
        bound.map_or(f64::INFINITY, |(bound, _)| *bound)
    }
}

/// All metrics at one moment.
pub(crate) struct Metrics(String);

impl Metrics {
    pub(crate) fn read(admin: SocketAddr) -> Result<Metrics, Failure> {
        let ask = || {
            let mut stream = TcpStream::connect(admin)?;
            stream.write_all(
                b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer =
            ask().map_err(|error: std::io::Error| Failure::to("read the metrics")(error))?;
        match answer.starts_with("HTTP/1.1 200") {
            true => Ok(Metrics(answer)),
            false => Err(Failure::new(format!("no metrics: {answer}"))),
        }
    }

    /// A number without labels.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    pub(crate) fn buckets(&self, name: &str) -> Buckets {
        let start = format!("{name}_bucket{{le=\"");
        let buckets = self.0.lines().filter_map(|line| {
            let (bound, count) = line.strip_prefix(&start)?.split_once("\"} ")?;
            Some((bound.parse().unwrap_or(f64::INFINITY), count.parse().ok()?))
        });
        Buckets(buckets.collect())
    }
}
