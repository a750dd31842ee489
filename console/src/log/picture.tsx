// Images of agents: shown where their bytes are those of a raster image, at a fixed size.

import { useEffect, useMemo, useState } from "preact/hooks";
import { Dialog } from "../ui/basics";

const MOST = 16 * 1024 * 1024;

/** The media type that an image's first bytes stand for; nothing else is shown. */
export function rasterType(bytes: Uint8Array): string | null {
  const at = (n: number, text: string) => [...text].every((c, i) => bytes[n + i] === c.charCodeAt(0));
  if (bytes[0] === 0x89 && at(1, "PNG")) return "image/png";
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return "image/jpeg";
  if (at(0, "GIF8")) return "image/gif";
  if (at(0, "RIFF") && at(8, "WEBP")) return "image/webp";
  return null;
}

function decode(data: string): Uint8Array<ArrayBuffer> | null {
  if (data.length > MOST) return null;
  try {
    const text = atob(data);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  } catch {
    return null;
  }
}

export function useBlobUrl(bytes: Uint8Array<ArrayBuffer> | null): string | null {
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => {
    const type = bytes && rasterType(bytes);
    if (!bytes || !type) return setUrl(null);
    const made = URL.createObjectURL(new Blob([bytes], { type }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [bytes]);
  return url;
}

export function Picture({ image }: { image: { media_type: string; data: string } }) {
  const bytes = useMemo(() => decode(image.data), [image.data]);
  const url = useBlobUrl(bytes);
  const [open, setOpen] = useState(false);
  if (!bytes || !rasterType(bytes)) return <p class="dim">An image that cannot be shown ({image.media_type}).</p>;
  return (
    <>
      <button type="button" class="thumb" onClick={() => setOpen(true)} aria-label="Show the image">{url ? <img src={url} alt="An image from the agent" /> : null}</button>
      {open && url ? <Dialog title="Image" wide onClose={() => setOpen(false)}><img class="full" src={url} alt="An image from the agent" /></Dialog> : null}
    </>
  );
}
