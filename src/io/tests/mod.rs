mod descriptor;
mod pipe;
