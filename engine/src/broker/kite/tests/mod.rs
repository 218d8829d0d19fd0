mod fuzz;
mod instruments;
mod session;
mod wire;
