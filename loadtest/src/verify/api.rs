//! The answer of query-api.

use super::compare::compare;
use super::report::Check;
use crate::truth::{EdgeCounts, EdgeKey, Node, OperationCounts, OperationKey, Truth};
use anyhow::Context;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A count: adjusted for sampling, so it may have decimals; the workload samples nothing.
type Count = f64;

#[derive(Deserialize)]
struct GraphAnswer {
    nodes: Vec<NodeAnswer>,
    edges: Vec<EdgeAnswer>,
}

#[derive(Deserialize)]
struct NodeAnswer {
    id: String,
    kind: String,
    service: ServiceAnswer,
}

#[derive(Deserialize)]
struct ServiceAnswer {
    name: String,
    namespace: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EdgeAnswer {
    from: String,
    to: String,
    call_count: Count,
    error_count: Count,
    client_errors: Count,
    retry_count: Count,
    rejected: Count,
    timeouts: Count,
}

#[derive(Deserialize)]
struct OperationsAnswer {
    operations: Vec<OperationAnswer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OperationAnswer {
    name: String,
    count: Count,
    error_count: Count,
    timeouts: Count,
}

/// Asks about the run's time.
struct Asker<'a> {
    client: reqwest::Client,
    api: &'a str,
    /// Microseconds since the epoch.
    range_us: (i64, i64),
}

pub(super) async fn checks(truth: &Truth, api: &str) -> anyhow::Result<Vec<Check>> {
    let (from_s, to_s) = truth.window_s();
    let client = reqwest::Client::builder().no_proxy().build()?;
    let asker =
        Asker { client, api: api.trim_end_matches('/'), range_us: (from_s * 1_000_000, to_s * 1_000_000) };
    Ok(vec![asker.graphs(truth).await?, asker.operations(truth).await?])
}

impl Asker<'_> {
    async fn graphs(&self, truth: &Truth) -> anyhow::Result<Check> {
        let mut found = BTreeMap::new();
        for (environment, operation) in truth.operations.keys() {
            let answer: GraphAnswer =
                self.get("graph", &[("environment", environment), ("operation", operation)]).await?;
            for (client, server, counts) in answer.edges() {
                let key = EdgeKey {
                    environment: environment.clone(),
                    operation: operation.clone(),
                    client,
                    server,
                };
                *found.entry(key).or_insert_with(EdgeCounts::default) += counts;
            }
        }
        Ok(compare("API /api/v1/graph", &truth.edges, &found, EdgeKey::to_string))
    }

    async fn operations(&self, truth: &Truth) -> anyhow::Result<Check> {
        let mut found: BTreeMap<OperationKey, OperationCounts> = BTreeMap::new();
        let mut environments: Vec<&String> =
            truth.operations.keys().map(|(environment, _)| environment).collect();
        environments.dedup();
        for environment in environments {
            let answer: OperationsAnswer =
                self.get("operations", &[("environment", environment), ("probes", "true")]).await?;
            for operation in answer.operations {
                let counts = OperationCounts {
                    flows: whole(operation.count),
                    errors: whole(operation.error_count),
                    timeouts: whole(operation.timeouts),
                };
                found.insert((environment.clone(), operation.name), counts);
            }
        }
        Ok(compare("API /api/v1/operations", &truth.operations, &found, super::tables::operation_name))
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        what: &str,
        about: &[(&str, &str)],
    ) -> anyhow::Result<T> {
        let url = format!("{}/api/v1/{what}", self.api);
        let (from, to) = (self.range_us.0.to_string(), self.range_us.1.to_string());
        let range = [("startTime", from.as_str()), ("endTime", to.as_str())];
        let response = self.client.get(&url).query(&range).query(about).send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        anyhow::ensure!(status.is_success(), "{url}: {status} {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).with_context(|| format!("{url}: an answer of another shape"))
    }
}

impl GraphAnswer {
    fn edges(self) -> Vec<(Node, Node, EdgeCounts)> {
        let nodes: BTreeMap<&str, Node> =
            self.nodes.iter().map(|node| (node.id.as_str(), node.node())).collect();
        let node =
            |id: &str| nodes.get(id).cloned().unwrap_or_else(|| Node::outside("(not among the nodes)", id));
        self.edges.iter().map(|edge| (node(&edge.from), node(&edge.to), edge.counts())).collect()
    }
}

impl NodeAnswer {
    fn node(&self) -> Node {
        Node {
            kind: self.kind.clone(),
            namespace: self.service.namespace.clone(),
            name: self.service.name.clone(),
        }
    }
}

impl EdgeAnswer {
    fn counts(&self) -> EdgeCounts {
        EdgeCounts {
            calls: whole(self.call_count),
            errors: whole(self.error_count),
            client_errors: whole(self.client_errors),
            retries: whole(self.retry_count),
            rejected: whole(self.rejected),
            timeouts: whole(self.timeouts),
        }
    }
}

fn whole(count: Count) -> i64 {
    count.round() as i64
}
