//! Decisions out, second half: what is said about single flows. Field names and units are those of
//! `weir.v1.FlowTrace` and `weir.v1.FlowEvent`.

use crate::delta::{Name, Node};
use crate::span::TraceId;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// How a flow ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum FlowStatus {
    /// It did what was asked, or refused for the caller's own fault (4xx).
    #[default]
    Success,
    /// It failed.
    Error,
    /// It failed by taking too long.
    Timeout,
}

/// The summary of one flow.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)] // the protobuf message documents them
pub struct FlowTrace {
    pub trace_id: TraceId,
    pub revision: u32,
    pub environment: Name,
    pub operation: Name,
    pub status: FlowStatus,
    pub start_us: i64,
    pub duration_us: i64,
    pub tail_us: i64,
    pub spans: u32,
    pub errors: u32,
    pub client_errors: u32,
    pub retries: u32,
    pub timeouts: u32,
    pub rejected: u32,
    pub services: Arc<[Name]>,
    pub service_nodes: Arc<[Arc<Node>]>,
    pub root_service: Name,
    pub root_namespace: Name,
    pub root_name: Name,
    pub ui_event: Name,
    pub session_id: Name,
    pub user_hash: String,
    pub weight_milli: u32,
    pub complete: bool,
    pub truncated: bool,
    pub graph: Option<FlowGraph>,
}

/// The flow graph of one flow.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[allow(missing_docs)]
pub struct FlowGraph {
    pub nodes: Vec<FlowNode>,
    pub edges: Vec<FlowEdge>,
}

/// A node of a [`FlowGraph`]; see `weir.v1.FlowNode`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub struct FlowNode {
    pub node: Arc<Node>,
    pub version: Name,
    pub requests: u32,
    pub errors: u32,
    pub duration_us: i64,
    pub self_us: i64,
    pub critical_us: i64,
}

/// An edge of a [`FlowGraph`]; see `weir.v1.FlowEdge`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[allow(missing_docs)]
pub struct FlowEdge {
    pub client: u32,
    pub server: u32,
    pub calls: u32,
    pub errors: u32,
    pub client_errors: u32,
    pub retries: u32,
    pub timeouts: u32,
    pub rejected: u32,
    pub duration_us: i64,
}

/// What happened to a flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FlowEventKind {
    /// Its first spans are here.
    Start,
    /// More spans are here.
    Update,
    /// It closed.
    Complete,
}

/// A flow begins, goes on, ends.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)] // the protobuf message documents them
pub struct FlowEvent {
    pub kind: FlowEventKind,
    pub trace_id: TraceId,
    pub clock_us: i64,
    pub environment: Name,
    pub operation: Name,
    pub current_service: Name,
    pub current_namespace: Name,
    pub current_cluster: Name,
    pub elapsed_us: i64,
    pub sample_milli: u32,
    pub status: FlowStatus,
    pub spans: u32,
    pub progress: u32,
    pub summary: Option<FlowTrace>,
}
