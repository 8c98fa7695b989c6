mod copy;
mod descriptor;
mod pipe;
mod shapes;
