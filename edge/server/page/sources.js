// Where pictures come from: the server's own source, or this browser's camera, which the server reads picture by picture.
// Both give {picture, reading, points, live, mirrored} to `show`, and a sentence, or nothing, to `tell`.

import { connect, pack } from "./wire.js";

const LONG_SIDE = 640;

const TROUBLE = {
  opening: "The source is being opened …",
  reconnecting: "The source is lost; trying to get it back …",
};

/** Follow the server's source; returns a function that ends it. `show` is also given `ask(wish, track)` where the server can be asked. */
export function follow(show, tell) {
  let newest = null, busy = false, ended = false, ask = () => {};
  const wish = (what, track) => ask(JSON.stringify({ [what]: track }));
  const next = async () => {
    if (busy || !newest || ended) return;
    busy = true;
    const packet = newest;
    newest = null;
    const picture = packet.jpeg ? await createImageBitmap(packet.jpeg).catch(() => null) : null;
    if (!ended) {
      show({ ...packet, picture, mirrored: false, ask: packet.status && packet.live ? wish : null });
      tell(packet.live ? "" : `The source has ended; this is its last picture.${packet.recorded ? " Its timeline is below." : ""}`);
    }
    busy = false;
    next();
  };
  const end = connect("live", {
    open: (send) => {
      ask = send;
      tell("Waiting for the first picture …");
    },
    packet: (packet) => {
      if (!packet.reading) return tell(TROUBLE[packet.status.state] ? `${TROUBLE[packet.status.state]} ${packet.status.message}` : "");
      newest = packet; // a picture that was not shown in time is not shown at all
      next();
    },
    lost: (seconds, reason) => tell(`${sentence(reason, "The connection is lost")} Trying again in ${seconds} s.`),
  });
  return () => {
    ended = true;
    end();
  };
}

/** Send this browser's camera, one picture at a time, each after the answer to the one before; returns a function that ends it. */
export function ownCamera(show, tell) {
  const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
  let stream = null, end = () => {}, ended = false, sent = null;
  const stop = () => {
    ended = true;
    end();
    stream?.getTracks().forEach((track) => track.stop());
  };
  const grab = async (send) => {
    const scale = Math.min(1, LONG_SIDE / Math.max(video.videoWidth, video.videoHeight));
    const canvas = new OffscreenCanvas(Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale));
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    const t_ms = performance.now();
    const jpeg = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.85 });
    if (ended) return;
    sent = canvas;
    send(pack({ t_ms }, jpeg));
  };
  const begin = async () => {
    tell("Asking for the camera …");
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 480 } }, audio: false });
    if (ended) return stop();
    stream.getVideoTracks()[0].onended = () => {
      stop();
      tell("The camera was unplugged or taken away.");
    };
    video.srcObject = stream;
    await video.play();
    let send = null;
    end = connect("camera", {
      open: (sender) => {
        send = sender;
        requestAnimationFrame(() => grab(send)); // in the background it waits
      },
      packet: (packet) => {
        tell("");
        show({ ...packet, picture: sent, mirrored: true, ask: (what, track) => send(JSON.stringify({ [what]: track })) });
        requestAnimationFrame(() => grab(send));
      },
      lost: (seconds, reason) => tell(`${sentence(reason, "The connection is lost")} Trying again in ${seconds} s.`),
    });
  };
  if (navigator.mediaDevices) begin().catch((error) => ended || tell(WHY[error.name] ?? `The camera cannot be opened: ${error.message}`));
  else tell("Browsers give pages their camera only at localhost or over HTTPS: open this page at http://localhost.");
  return stop;
}

const WHY = {
  NotAllowedError: "The camera is blocked. Allow it for this page in the address bar, then choose the browser camera again.",
  NotFoundError: "This browser finds no camera.",
  NotReadableError: "The camera is in use by another program.",
};

function sentence(reason, otherwise) {
  const text = reason || otherwise;
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}
