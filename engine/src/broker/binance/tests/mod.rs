mod filters;
mod fuzz;
mod gate;
mod hostile;
mod wire;
