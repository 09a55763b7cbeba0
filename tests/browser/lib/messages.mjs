// Messages whose content follows from a seed and a size, so that both ends know them and only digests need to be told.
// native_agent.py makes the same ones.

export const LARGEST = 262_144

/** `kind` is "text" or "binary"; `size` is in bytes. Every part of a message differs from every other. */
export function content(kind, size, seed) {
  let text = kind === 'text' && size >= 9 ? 'é€😀' : ''
  const parts = [text]
  let length = new TextEncoder().encode(text).length
  for (let i = 0; length < size; i++) {
    const part = `${seed}:${i};`.slice(0, size - length)
    parts.push(part)
    length += part.length
  }
  text = parts.join('')
  return kind === 'text' ? text : new TextEncoder().encode(text).map((byte) => byte ^ 0xa5)
}

export async function digest(data) {
  if (typeof Blob !== 'undefined' && data instanceof Blob) data = await data.arrayBuffer()
  const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : new Uint8Array(data)
  const hash = new Uint8Array(await globalThis.crypto.subtle.digest('SHA-256', bytes))
  const sha256 = Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return { kind: typeof data === 'string' ? 'text' : 'binary', size: bytes.length, sha256 }
}
