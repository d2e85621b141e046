/** One colour for each model: far apart for neighbours, the same in every picture of the same models. */

const GOLDEN_ANGLE = 137.508;
const SATURATION = 0.58;
const LIGHTNESS = [0.56, 0.7, 0.45] as const;
/** What moves is darker than what stays. */
const DARKER = 0.5;

export interface ModelColour {
  readonly plain: string;
  readonly dark: string;
}

export function modelColour(index: number): ModelColour {
  const hue = (205 + index * GOLDEN_ANGLE) % 360;
  const lightness = LIGHTNESS[index % LIGHTNESS.length] ?? LIGHTNESS[0];
  return { plain: hex(hue, SATURATION, lightness), dark: hex(hue, SATURATION, lightness * DARKER) };
}

/** From hue, saturation and lightness, as CSS Color defines them. */
function hex(hue: number, saturation: number, lightness: number): string {
  const reach = saturation * Math.min(lightness, 1 - lightness);
  const channel = (offset: number): string => {
    const k = (offset + hue / 30) % 12;
    const value = lightness - reach * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(255 * value)
      .toString(16)
      .padStart(2, '0');
  };
  return `#${channel(0)}${channel(8)}${channel(4)}`;
}
