mod unblock;
