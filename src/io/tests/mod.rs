mod copy;
mod descriptor;
mod pipe;
