"""What is written in C elsewhere: pyzmq's libzmq, and the clock."""
