// What native members send: a picture of four colours in each codec, and a tone, made by ffmpeg.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

export const NATIVE_COLOURS = ['red', 'green', 'blue', 'yellow']
export const NATIVE_TONE = 440
export const TAB_COLOURS = ['yellow', 'blue', 'green', 'red']
export const TAB_TONE = 660

const ENCODERS = {
  VP8: ['libvpx', 'ivf', '-b:v', '300k', '-deadline', 'realtime', '-auto-alt-ref', '0'],
  VP9: ['libvpx-vp9', 'ivf', '-b:v', '300k', '-deadline', 'realtime', '-lag-in-frames', '0', '-auto-alt-ref', '0'],
  H264: ['libx264', 'h264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-profile:v', 'baseline', '-x264-params', 'aud=1'],
  AV1: ['libaom-av1', 'ivf', '-cpu-used', '8', '-usage', 'realtime', '-lag-in-frames', '0', '-b:v', '300k'],
}

/** A second of each, which begins with a key frame. */
export class Pictures {
  constructor() {
    this.folder = mkdtempSync(path.join(tmpdir(), 'rtcswarm-media-'))
  }

  file(codec) {
    const file = path.join(this.folder, `${codec}`)
    if (!this[codec]) {
      this[codec] = true
      const inputs = NATIVE_COLOURS.flatMap((colour) => ['-f', 'lavfi', '-i', `color=${colour === 'green' ? 'lime' : colour}:s=160x120:r=15:d=1`])
      const join = '[0][1]hstack[a];[2][3]hstack[b];[a][b]vstack,noise=alls=2:allf=t,format=yuv420p'
      const [encoder, format, ...options] = ENCODERS[codec] ?? []
      const args =
        codec === 'OPUS'
          ? ['-f', 'lavfi', '-i', `sine=frequency=${NATIVE_TONE}:duration=2:sample_rate=48000`, '-af', 'volume=4', '-c:a', 'libopus', '-f', 'ogg']
          : [...inputs, '-filter_complex', join, '-g', '1000', '-c:v', encoder, ...options, '-f', format]
      execFileSync('ffmpeg', ['-v', 'error', '-y', ...args, file])
    }
    return file
  }

  remove() {
    rmSync(this.folder, { recursive: true })
  }
}
