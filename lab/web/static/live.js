// The server's messages about the running lab. Lost connections are tried again, ever more rarely.

import { connect } from "./api.js";

const LONGEST = 10000;

/** Calls told(message) for each message, and status("live" | "lost" | "ended"). */
export function listen(told, status) {
  let pause = 500;
  const open = () => {
    const socket = connect("/api/live");
    socket.onopen = () => {
      pause = 500;
      status("live");
    };
    socket.onmessage = (event) => told(JSON.parse(event.data));
    socket.onclose = (event) => {
      if (event.code === 1001) return status("ended");
      status("lost");
      setTimeout(open, pause);
      pause = Math.min(LONGEST, pause * 2);
    };
  };
  open();
}
