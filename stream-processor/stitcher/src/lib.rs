//! Turns spans into flow graphs. Never reads a clock, does I/O, draws a random number, or lets the order of
//! a hash table reach an output: the same records and commits give the same outputs, always.
#![no_std]

extern crate alloc;

pub mod span;
