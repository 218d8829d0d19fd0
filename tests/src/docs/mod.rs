//! The documentation: pages made from the code are up to date, examples answer as printed, links lead somewhere.

mod cli;
mod commands;
mod configuration;
mod excerpts;
mod figures;
mod links;
mod pages;
mod session;
