// What a tab shows and plays, and what it sees and hears of others: a picture of four colours, and a tone.

const SIZE = { width: 320, height: 240 }
const COLOURS = { red: '#f00', green: '#0f0', blue: '#00f', yellow: '#ff0' }

/** Four colours: above left and right, below left and right. */
function picture(colours) {
  const canvas = Object.assign(document.createElement('canvas'), SIZE)
  const pen = canvas.getContext('2d')
  const [width, height] = [SIZE.width / 2, SIZE.height / 2]
  let count = 0
  const draw = () => {
    colours.forEach((colour, at) => {
      pen.fillStyle = COLOURS[colour]
      pen.fillRect((at % 2) * width, Math.floor(at / 2) * height, width, height)
    })
    // A canvas that does not change gives no frames.
    pen.fillStyle = count++ % 2 ? '#000' : '#fff'
    pen.fillRect(width - 2, height - 2, 4, 4)
  }
  draw()
  const timer = setInterval(draw, 66)
  const [track] = canvas.captureStream(15).getVideoTracks()
  track.addEventListener('ended', () => clearInterval(timer))
  return track
}

let audio

function context() {
  audio ??= new AudioContext({ sampleRate: 48_000 })
  return audio
}

function tone(frequency) {
  const oscillator = new OscillatorNode(context(), { frequency })
  const destination = context().createMediaStreamDestination()
  oscillator.connect(destination)
  oscillator.start()
  return destination.stream.getAudioTracks()[0]
}

/** `{ stream: { track: ['red', …] | 440 | 'fake audio' | 'audio' | 'video' | null } }`, as the original wants it. */
export async function makeStreams(spec) {
  const fake = async (kind) => (await navigator.mediaDevices.getUserMedia({ [kind]: true })).getTracks()[0]
  const streams = {}
  for (const [name, tracks] of Object.entries(spec)) {
    streams[name] = {}
    for (const [track, what] of Object.entries(tracks)) {
      let made = what
      if (Array.isArray(what)) made = { track: picture(what) }
      else if (typeof what === 'number') made = { track: tone(what) }
      else if (what?.startsWith('fake ')) made = { track: await fake(what.slice(5)) }
      streams[name][track] = made
    }
  }
  return streams
}

/** Plays one that came. */
export function play(stream) {
  const video = Object.assign(document.createElement('video'), { srcObject: stream, muted: true, autoplay: true })
  document.body.append(video)
  video.play().catch(() => {})
  let analyser = null
  if (stream.getAudioTracks().length) {
    analyser = new AnalyserNode(context(), { fftSize: 8192, smoothingTimeConstant: 0 })
    context().createMediaStreamSource(new MediaStream(stream.getAudioTracks())).connect(analyser)
  }
  return { stream, video, analyser }
}

export function stop({ video }) {
  video.srcObject = null
  video.remove()
}

function colourAt(pen, x, y) {
  const [r, g, b] = pen.getImageData(x, y, 1, 1).data
  const distance = ([R, G, B]) => (R - r) ** 2 + (G - g) ** 2 + (B - b) ** 2
  const values = { red: [255, 0, 0], green: [0, 255, 0], blue: [0, 0, 255], yellow: [255, 255, 0], black: [0, 0, 0] }
  return Object.keys(values).sort((one, other) => distance(values[one]) - distance(values[other]))[0]
}

/** What is on the screen, and how many frames were. */
export function see({ video }) {
  if (!video.videoWidth) return { frames: 0, colours: [] }
  const canvas = Object.assign(document.createElement('canvas'), { width: 4, height: 4 })
  const pen = canvas.getContext('2d', { willReadFrequently: true })
  pen.drawImage(video, 0, 0, 4, 4)
  const colours = [[0, 0], [3, 0], [0, 3], [3, 3]].map(([x, y]) => colourAt(pen, x, y))
  return { frames: video.getVideoPlaybackQuality().totalVideoFrames, colours }
}

/** The loudest frequency in Hz, or 0 where it is silent. */
export function listen({ analyser }) {
  if (!analyser) return 0
  const levels = new Float32Array(analyser.frequencyBinCount)
  analyser.getFloatFrequencyData(levels)
  const loudest = levels.reduce((best, level, at) => (level > levels[best] ? at : best), 0)
  return levels[loudest] < -60 ? 0 : Math.round((loudest * context().sampleRate) / analyser.fftSize)
}
