mod instruments;
mod session;
mod wire;
