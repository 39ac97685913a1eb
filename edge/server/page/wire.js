// The socket: packets (length, JSON, JPEG), and connections that come back by themselves.

const decoder = new TextDecoder(), encoder = new TextEncoder();

/** Take a packet apart: its JSON object and, where there is one, its picture. */
export function unpack(buffer) {
  const size = new DataView(buffer).getUint32(0);
  const header = JSON.parse(decoder.decode(new Uint8Array(buffer, 4, size)));
  const jpeg = buffer.byteLength > 4 + size ? new Blob([new Uint8Array(buffer, 4 + size)], { type: "image/jpeg" }) : null;
  return { ...header, jpeg };
}

/** Build a packet of a header and a JPEG. */
export function pack(header, jpeg) {
  const text = encoder.encode(JSON.stringify(header));
  const size = new DataView(new ArrayBuffer(4));
  size.setUint32(0, text.length);
  return new Blob([size, text, jpeg]);
}

/**
 * Keep a connection to `path`. `on` has `open(send)`, `packet(packet)` and `lost(seconds, reason)`; a lost connection is tried again
 * after 1, 2, 4, then every 8 seconds. Returns a function that ends it.
 */
export function connect(path, on) {
  let socket, timer, tries = 0, ended = false;
  const open = () => {
    socket = new WebSocket(new URL(path, location.href.replace(/^http/, "ws")));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => on.open((message) => socket.readyState === WebSocket.OPEN && socket.send(message));
    socket.onmessage = (event) => {
      tries = 0;
      on.packet(unpack(event.data));
    };
    socket.onclose = (event) => {
      if (ended) return;
      const wait = Math.min(8, 2 ** tries++);
      on.lost(wait, event.reason);
      timer = setTimeout(again, wait * 1000);
    };
  };
  const again = () => {
    if (ended) return;
    if (document.hidden) document.addEventListener("visibilitychange", again, { once: true }); // nobody looks: no place is taken
    else open();
  };
  open();
  return () => {
    ended = true;
    clearTimeout(timer);
    socket.close();
  };
}
