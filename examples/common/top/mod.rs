//! What `top` is made of: the page it fetches, what it takes from it, and the table it makes.
#![allow(unreachable_pub, reason = "a module of several programs")]

pub mod page;
pub mod sample;
pub mod table;
pub mod units;
