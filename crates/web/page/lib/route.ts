export type Route = { page: 'home' } | { page: 'meeting'; id: string };

export function parseRoute(path: string): Route {
  const id = /^\/m\/([^/]+)\/?$/.exec(path)?.[1];
  return id === undefined ? { page: 'home' } : { page: 'meeting', id: decode(id) };
}

export function meetingPath(id: string): string {
  return `/m/${encodeURIComponent(id)}`;
}

/** The meeting's id out of what somebody typed or pasted: an id, or a link to `/m/{id}`. */
export function meetingId(text: string): string {
  const trimmed = text.trim();
  const linked = /\/m\/([^/?#\s]+)/.exec(trimmed)?.[1];
  return linked === undefined ? trimmed : decode(linked);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray % in a hand-written link
  }
}
