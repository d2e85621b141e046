/** What a recording's first bytes tell: whether it is one, and how long it lasts. Nothing is decoded. */

/** Beginnings of the formats that vLLM's readers know, by their offset. MPEG audio without tags is asked for apart. */
const SIGNATURES: readonly (readonly [number, string])[] = [
  [0, 'fLaC'],
  [0, 'OggS'],
  [0, 'ID3'],
  [0, '\x1a\x45\xdf\xa3'],
  [4, 'ftyp'],
];
/** Formats that do not tell are taken for 128 kbit/s. */
const ASSUMED_BYTES_PER_S = 16_000;
const WAV_HEADER_BYTES = 44;
const WAV_BYTE_RATE_AT = 28;

/** Seconds; null: it is no audio that could be read. */
export function audioDurationS(file: Buffer): number | null {
  const has = (at: number, mark: string): boolean => file.toString('latin1', at, at + mark.length) === mark;
  if (has(0, 'RIFF') && has(8, 'WAVE') && file.length >= WAV_HEADER_BYTES) {
    const rate = file.readUInt32LE(WAV_BYTE_RATE_AT);
    return rate === 0 ? null : (file.length - WAV_HEADER_BYTES) / rate;
  }
  const isMpeg = file.length > 1 && file[0] === 0xff && ((file[1] ?? 0) & 0xe0) === 0xe0;
  if (!isMpeg && !SIGNATURES.some(([at, mark]) => has(at, mark))) return null;
  return file.length / ASSUMED_BYTES_PER_S;
}
