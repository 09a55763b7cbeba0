// What this tab can give itself: a picture that it draws, which asks for no permission, and what its camera sees.

const SIZE = { width: 320, height: 180 };
const RATE = 15;

/** Colours, the name of who gives it, and the time, which shows that it is live. */
function picture(name) {
  const canvas = Object.assign(document.createElement('canvas'), SIZE);
  const pen = canvas.getContext('2d');
  const { width, height } = SIZE;
  const write = (text, size, y) => {
    pen.font = `600 ${size}px system-ui, sans-serif`;
    pen.fillText(text, width / 2, y, width - 40);
  };
  const draw = () => {
    const now = new Date();
    const turn = (now.getTime() / 8000) * 2 * Math.PI;
    const colours = pen.createLinearGradient(0, 0, width, height);
    for (const part of [0, 0.5, 1]) colours.addColorStop(part, `hsl(${220 + 60 * Math.sin(turn + 2 * part)} 60% 38%)`);
    pen.fillStyle = colours;
    pen.fillRect(0, 0, width, height);
    pen.fillStyle = '#fff';
    pen.textAlign = 'center';
    write(name, 30, 80);
    write(now.toTimeString().slice(0, 8), 22, 116);
    pen.beginPath();
    pen.arc(width / 2 + 120 * Math.sin(turn), height / 2 - 75 * Math.cos(turn), 7, 0, 2 * Math.PI);
    pen.fill();
  };
  draw();
  const timer = setInterval(draw, 1000 / RATE);
  const stream = canvas.captureStream(RATE);
  return { stream, stop: () => clearInterval(timer) };
}

async function camera() {
  const video = { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { max: 30 } };
  return { stream: await navigator.mediaDevices.getUserMedia({ video, audio: true }), stop: () => {} };
}

/** Each a stream of that name; tracks have names of their own in the whole room. */
export const SOURCES = {
  picture: { make: picture, tracks: { video: 'picture' }, there: true },
  camera: { make: camera, tracks: { video: 'camera', audio: 'microphone' }, there: Boolean(navigator.mediaDevices?.getUserMedia) },
};
