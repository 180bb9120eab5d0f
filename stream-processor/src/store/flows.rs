//! `flow_traces` → `traces` and `flow_graphs`.

use super::block::{BatchId, Block, BlockWriter, Table};
use super::content::{Content, Oddities, Record};
use super::deltas::kind_text;
use super::rollup::UNSAMPLED;
use super::row_binary::RowBinary;
use prost::Message;
use schemas::v1::{self, FlowService};

const DAY_S: i64 = 86_400;

pub(super) const TRACES: Table = Table {
    name: "traces",
    columns: "trace_id, revision, environment, operation, status, start, duration_us, tail_us, spans, errors, \
              client_errors, retries, timeouts, rejected, services, service_nodes, root_service, root_namespace, \
              root_name, ui_event, session_id, user_hash, weight, complete, truncated, shard, seq",
    partition_s: DAY_S,
};
pub(super) const FLOW_GRAPHS: Table = Table {
    name: "flow_graphs",
    columns: "trace_id, revision, environment, operation, start, nodes, edges",
    partition_s: DAY_S,
};

/// Summaries of one batch.
#[derive(Debug, Default)]
pub struct Flows {
    /// By partition and offset, so that their order doesn't depend on which partition was read first.
    flows: std::collections::BTreeMap<(i32, i64), v1::FlowTrace>,
    oddities: Oddities,
}

impl Content for Flows {
    fn add(&mut self, record: Record<'_>) {
        match v1::FlowTrace::decode(record.value) {
            Ok(flow) if flow.trace_id.len() == 16 => {
                self.flows.insert((record.partition, record.offset), flow);
            }
            _ => self.oddities.undecodable += 1,
        }
    }

    fn rows(&self) -> usize {
        self.flows.len()
    }

    fn oddities(&self) -> &Oddities {
        &self.oddities
    }

    fn finish(self: Box<Self>, id: BatchId) -> Vec<Block> {
        let mut traces = BlockWriter::new(TRACES);
        let mut graphs = BlockWriter::new(FLOW_GRAPHS);
        for flow in self.flows.values() {
            let start_s = flow.start_us.div_euclid(1_000_000);
            write_trace(traces.row(start_s), flow);
            if let Some(graph) = &flow.graph {
                write_graph(graphs.row(start_s), flow, graph);
            }
        }
        traces.finish(id).into_iter().chain(graphs.finish(id)).collect()
    }
}

fn write_trace(row: &mut RowBinary, flow: &v1::FlowTrace) {
    row.hex(&flow.trace_id);
    row.u32(flow.revision);
    row.text(&flow.environment);
    row.text(&flow.operation);
    row.text(status_text(flow.status()));
    row.i64(flow.start_us);
    row.i64(flow.duration_us);
    row.i64(flow.tail_us);
    for count in [flow.spans, flow.errors, flow.client_errors, flow.retries, flow.timeouts, flow.rejected] {
        row.u32(count);
    }
    row.length(flow.services.len());
    flow.services.iter().for_each(|service| row.text(service));
    row.length(flow.service_nodes.len());
    for FlowService { cluster, namespace, name } in &flow.service_nodes {
        for text in [cluster, namespace, name] {
            row.text(text);
        }
    }
    for text in [
        &flow.root_service,
        &flow.root_namespace,
        &flow.root_name,
        &flow.ui_event,
        &flow.session_id,
        &flow.user_hash,
    ] {
        row.text(text);
    }
    row.i64(i64::from(if flow.weight_milli == 0 { UNSAMPLED } else { flow.weight_milli }));
    row.u8(flow.complete.into());
    row.u8(flow.truncated.into());
    row.u32(flow.shard);
    row.u64(flow.seq);
}

fn write_graph(row: &mut RowBinary, flow: &v1::FlowTrace, graph: &v1::FlowGraph) {
    row.hex(&flow.trace_id);
    row.u32(flow.revision);
    row.text(&flow.environment);
    row.text(&flow.operation);
    row.i64(flow.start_us);
    row.length(graph.nodes.len());
    graph.nodes.iter().for_each(|node| write_node(row, node));
    row.length(graph.edges.len());
    graph.edges.iter().for_each(|edge| write_edge(row, edge));
}

fn write_node(row: &mut RowBinary, node: &v1::FlowNode) {
    for text in [&node.cluster, &node.namespace, &node.name] {
        row.text(text);
    }
    row.text(kind_text(node.kind()));
    row.text(&node.version);
    row.u32(node.requests);
    row.u32(node.errors);
    row.i64(node.duration_us);
    row.i64(node.self_us);
    row.i64(node.critical_us);
}

/// The message counts nodes from 0, ClickHouse's arrays from 1.
fn write_edge(row: &mut RowBinary, edge: &v1::FlowEdge) {
    row.u32(edge.client.saturating_add(1));
    row.u32(edge.server.saturating_add(1));
    for count in [edge.calls, edge.errors, edge.client_errors, edge.retries, edge.timeouts, edge.rejected] {
        row.u32(count);
    }
    row.i64(edge.duration_us);
}

fn status_text(status: v1::FlowStatus) -> &'static str {
    match status {
        v1::FlowStatus::Success => "success",
        v1::FlowStatus::Error => "error",
        v1::FlowStatus::Timeout => "timeout",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: BatchId = BatchId { generation: 1, lane: 1, batch: 1 };

    fn flow(id: u8, graph: Option<v1::FlowGraph>) -> Vec<u8> {
        v1::FlowTrace {
            trace_id: vec![id; 16],
            revision: 1,
            start_us: 86_400_000_000,
            graph,
            ..Default::default()
        }
        .encode_to_vec()
    }

    fn blocks(records: &[(i32, i64, Vec<u8>)]) -> Vec<Block> {
        let mut flows = Box::new(Flows::default());
        for (partition, offset, value) in records {
            flows.add(Record { partition: *partition, offset: *offset, timestamp_ms: 0, value });
        }
        flows.finish(ID)
    }

    #[test]
    fn only_flows_with_a_graph_have_one_stored() {
        let records = [(0, 4, flow(1, None)), (0, 5, flow(2, Some(v1::FlowGraph::default())))];
        let summary: Vec<_> =
            blocks(&records).iter().map(|block| (block.token.clone(), block.rows)).collect();
        assert_eq!(
            summary,
            [("traces/1/1/1/86400/0".to_owned(), 2), ("flow_graphs/1/1/1/86400/0".to_owned(), 1)]
        );
    }

    #[test]
    fn partitions_may_come_in_any_order() {
        let (one, two) = ((0, 4, flow(1, None)), (1, 2, flow(2, None)));
        assert_eq!(blocks(&[one.clone(), two.clone()]), blocks(&[two, one]));
    }

    #[test]
    fn a_summary_without_a_trace_id_is_undecodable() {
        let mut flows = Flows::default();
        let value = v1::FlowTrace::default().encode_to_vec();
        flows.add(Record { partition: 0, offset: 0, timestamp_ms: 0, value: &value });
        assert_eq!((flows.oddities().undecodable, flows.rows()), (1, 0));
    }
}
