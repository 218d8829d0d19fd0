mod filters;
mod gate;
mod hostile;
mod wire;
