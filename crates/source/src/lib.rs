//! Where log entries come from: journals, followed files, syslog sockets, standard input.
