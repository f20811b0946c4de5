// Puts the parts together: a source gives frames, the skeleton draws them, the stream reads them.

import { LandmarkFinder } from "./landmarks.js";
import * as server from "./server.js";
import { Skeleton } from "./skeleton.js";
import { Camera, Recording, VideoFile } from "./sources.js";
import { Stream } from "./stream.js";
import { Transcript, save } from "./transcript.js";

const at = (id) => document.getElementById(id);
const LAYOUT = "holistic_543";
const settings = { paused: false, pushToSign: false, held: false };
let source = null, finder = null, about = null, opening = 0, beganMs = null, ticks = [];

const skeleton = new Skeleton(at("skeleton"));
const transcript = new Transcript(at("transcript"), (count) => {
  at("empty").hidden = count > 0;
  for (const id of ["save-text", "save-subtitles", "clear"]) at(id).disabled = !count;
});
const stream = new Stream({ onEvent: show, onState: (state, reason) => {
  if (state === "connected") say(instruction());
  else if (reason) say(reason, true);
} });
const instruction = () => (settings.pushToSign ? "Hold the button or the space bar while you sign." : "Sign away.");

function say(text, wrong = false) {
  at("status").textContent = text;
  at("status").classList.toggle("wrong", wrong);
}

// --- what is read ---

function show(event) {
  at("committed").textContent = event.final ? "" : event.committed;
  at("tentative").textContent = event.tentative;
  at("confidence").value = event.confidence;
  at("confidence-text").textContent = `${Math.round(100 * event.confidence)} %`;
  if (event.latencyMs !== null) at("latency").textContent = `${Math.round(event.latencyMs)} ms`;
  at("dropped").textContent = event.dropped;
  if (!event.final) return;
  at("committed").textContent = event.committed;
  if (event.committed) addLine(event.committed, event.confidence, event.start_ms, event.end_ms);
}

function addLine(text, confidence, startMs, endMs) {
  beganMs ??= startMs; // the transcript's times count from its first sign
  const start = Math.max(0, startMs - beganMs);
  const line = { text, confidence, startMs: start, endMs: Math.max(start, endMs - beganMs) };
  const item = transcript.add(line);
  const frames = about.corrections ? stream.between(startMs, endMs) : null;
  if (frames?.size) item.append(correctButton(item, line, frames));
}

/** Sends landmarks and the better text, when its user says so. */
function correctButton(item, line, frames) {
  const button = Object.assign(document.createElement("button"), { textContent: "Correct", className: "correct" });
  button.onclick = async () => {
    const text = prompt("What was signed? The landmarks of this utterance and your text are sent and kept.", line.text);
    if (!text?.trim()) return;
    try {
      await server.correct(frames, { text, read: line.text, model: at("model").value, layout: LAYOUT });
      line.text = item.children[1].textContent = text;
      button.remove();
      say("Thank you. Your correction is kept.");
    } catch (error) {
      say(error.message, true);
    }
  };
  return button;
}

// --- frames ---

function take(frame) {
  skeleton.draw(frame);
  if (!ticks.length) say(instruction());
  ticks = [...ticks.filter((tick) => tick > frame.timeMs - 2000), frame.timeMs];
  const seconds = (ticks.at(-1) - ticks[0]) / 1000;
  if (seconds > 0.5) at("rate").textContent = `${Math.round((ticks.length - 1) / seconds)} a second`;
  if (!settings.paused && (!settings.pushToSign || settings.held)) stream.send(frame);
}

function begin(opened, video = null) {
  source = opened;
  ticks = [];
  say("Looking at the first picture."); // without a GPU it takes a quarter of a minute
  skeleton.begin(video);
  for (const id of ["pause", "stop", "hold"]) at(id).disabled = false;
}

function stop(text = "Stopped.", wrong = false) {
  opening++;
  source?.stop();
  source = null;
  stream.finish();
  for (const id of ["pause", "stop", "hold"]) at(id).disabled = true;
  pause(false);
  say(text, wrong);
}

const ended = (why) => stop(why ?? "That was all.", why !== undefined);

/** Opens a source; if another was asked for meanwhile, this one is closed again. */
async function watch(open) {
  if (source) stop();
  stream.configure({ model: at("model").value, layout: LAYOUT, key: server.key() });
  const asked = ++opening;
  try {
    const opened = await open();
    if (asked === opening) { if (opened) begin(...opened); } else opened?.[0].stop();
  } catch (error) {
    say(error.name === "NotAllowedError" ? "The camera may not be used: allow it in the browser." : error.message, true);
    if (error.status === 401) at("connection").open = true;
  }
}

async function loadFinder() {
  if (!about.landmarks) throw new Error("The landmark finder is not installed on this server.");
  if (!finder) say("Loading the landmark finder, 30 MB the first time.");
  finder ??= await LandmarkFinder.load();
  return finder;
}

const startCamera = () => watch(async () => {
  if (!navigator.mediaDevices) throw new Error("Browsers give cameras to pages on https:// or localhost only.");
  const found = await loadFinder();
  say("Opening the camera.");
  return [await Camera.open(at("video"), found, take, ended), at("video")];
});

const showExample = () => watch(async () => {
  const buffer = await server.example(Math.floor(Math.random() * 1000));
  return [new Recording(buffer, about.numPoints, take, ended)];
});

const openFile = (file) => watch(async () => {
  if (file.name.toLowerCase().endsWith(".pose")) return readPose(file);
  const found = await loadFinder();
  return [await VideoFile.open(at("video"), file, found, take, ended), at("video")];
});

async function readPose(file) {
  say(`Reading ${file.name}.`);
  const now = performance.now(), found = await server.translate(file, at("model").value);
  const text = found.translation ?? found.labels[0].label;
  show({ committed: text, tentative: "", confidence: found.confidence, final: true, dropped: 0,
         latencyMs: found.milliseconds, start_ms: now, end_ms: performance.now() });
  say(`${file.name} is read.`);
}

// --- controls ---

function press(id, on) { at(id).setAttribute("aria-pressed", String(on)); }
const pressed = (id) => at(id).getAttribute("aria-pressed") === "true";

function pause(on) {
  if (on && !settings.paused) stream.finish();
  settings.paused = on;
  press("pause", on);
  if (source) say(on ? "Paused." : instruction());
}

function pushToSign(on) {
  settings.pushToSign = on;
  press("push", on);
  at("hold").hidden = !on;
  hold(false);
  stream.finish();
  if (source && ticks.length) say(instruction());
}

function hold(on) {
  if (settings.held && !on) stream.finish();
  settings.held = on;
  at("hold").classList.toggle("held", on);
}

function mirror(on) {
  press("mirror", on);
  document.querySelector(".screen").classList.toggle("mirrored", on);
}

at("camera").onclick = startCamera;
at("example").onclick = showExample;
at("file").onchange = ({ target }) => { if (target.files[0]) openFile(target.files[0]); target.value = ""; };
at("stop").onclick = () => stop();
at("pause").onclick = () => pause(!settings.paused);
at("push").onclick = () => pushToSign(!settings.pushToSign);
at("mirror").onclick = () => mirror(!pressed("mirror"));
at("picture").onclick = () => {
  press("picture", !pressed("picture"));
  document.querySelector(".screen").classList.toggle("with-picture", pressed("picture"));
};
at("hold").onpointerdown = (event) => { at("hold").setPointerCapture(event.pointerId); hold(true); };
at("hold").onpointerup = at("hold").onpointercancel = () => hold(false);
at("clear").onclick = () => { transcript.clear(); beganMs = null; };
at("save-text").onclick = () => save(transcript.asText(), "transcript.txt", "text/plain");
at("save-subtitles").onclick = () => save(transcript.asSubtitles(), "transcript.vtt", "text/vtt");
at("key-form").onsubmit = (event) => {
  event.preventDefault();
  server.rememberKey(at("key").value.trim());
  at("connection").open = false;
  listModels();
};

const typing = (target) => target.matches("input, select, textarea, summary");
addEventListener("keydown", (event) => {
  if (typing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
  const onOther = event.target.matches("button:not(#hold), a"); // Space presses the button that has the focus
  if (event.key === " " && settings.pushToSign && source && !onOther) { event.preventDefault(); hold(true); }
  if (event.key === "p" && source) pause(!settings.paused);
  if (event.key === "m") mirror(!pressed("mirror"));
});
addEventListener("keyup", (event) => { if (event.key === " " && settings.held) { event.preventDefault(); hold(false); } });
addEventListener("blur", () => hold(false)); // a key released elsewhere would stay held

// --- beginning ---

async function listModels() {
  try {
    const served = (await server.models()).filter((each) => each.streams);
    at("model").replaceChildren(...served.map(({ name }) => new Option(name)));
    say("Choose what to watch.");
  } catch (error) {
    say(error.status === 401 ? "This server asks for a key." : error.message, true);
    if (error.status === 401) at("connection").open = true;
  }
}

mirror(true);
about = await server.about();
skeleton.strokes = about.strokes;
if (about.corrections) at("privacy").append(" Only an utterance that you correct is kept, with its points and your text.");
if (!about.landmarks) {
  at("missing").hidden = false;
  at("missing").append("Camera and videos need the landmark finder, which is not installed on this server. " +
    "Whoever runs it fetches it with ", Object.assign(document.createElement("code"), { textContent: about.howToGet }),
    ". Pose files and the synthetic signer work without it.");
  at("camera").disabled = true;
}
await listModels();
