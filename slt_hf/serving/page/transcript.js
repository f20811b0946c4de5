// Utterances that stand, and what they are saved as.

const pad = (number, length = 2) => String(number).padStart(length, "0");

export function clock(ms, withMilliseconds = false) {
  const seconds = Math.floor(ms / 1000);
  const time = `${pad(Math.floor(seconds / 3600))}:${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)}`;
  return withMilliseconds ? `${time}.${pad(Math.floor(ms % 1000), 3)}` : time;
}

export class Transcript {
  constructor(list, onChange) {
    Object.assign(this, { list, onChange, lines: [] });
  }

  add(line) {
    this.lines.push(line);
    const item = document.createElement("li");
    item.append(made("time", clock(line.startMs).slice(3)), made("span", line.text),
                made("span", `${Math.round(100 * line.confidence)} %`, "score"));
    this.list.append(item);
    this.list.scrollTop = this.list.scrollHeight;
    this.onChange(this.lines.length);
    return item;
  }

  clear() {
    this.lines = [];
    this.list.replaceChildren();
    this.onChange(0);
  }

  asText() { return this.lines.map((line) => `${clock(line.startMs)}  ${line.text}\n`).join(""); }

  asSubtitles() {
    const cue = ({ startMs, endMs, text }) => `\n${clock(startMs, true)} --> ${clock(endMs, true)}\n${text}\n`;
    return `WEBVTT\n${this.lines.map(cue).join("")}`;
  }
}

function made(tag, text, name = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (name) element.className = name;
  return element;
}

export function save(text, name, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
