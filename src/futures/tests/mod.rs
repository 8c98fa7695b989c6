mod block_on;
