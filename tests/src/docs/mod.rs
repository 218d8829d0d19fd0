//! The documentation: pages made from the code are up to date, examples answer as printed, links lead somewhere.

mod commands;
mod configuration;
mod links;
mod pages;
