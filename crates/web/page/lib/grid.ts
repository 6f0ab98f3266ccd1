export interface GridFit {
  columns: number;
  width: number;
  height: number;
}

/** The columns and the size of tiles of one shape that fill `width` × `height` pixels best. */
export function fitGrid(count: number, width: number, height: number, gap: number, ratio = 16 / 9): GridFit {
  let best: GridFit = { columns: 1, width: 0, height: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const cellWidth = (width - gap * (columns - 1)) / columns;
    const cellHeight = (height - gap * (rows - 1)) / rows;
    const tileWidth = Math.floor(Math.max(0, Math.min(cellWidth, cellHeight * ratio)));
    if (tileWidth > best.width) {
      best = { columns, width: tileWidth, height: Math.floor(tileWidth / ratio) };
    }
  }
  return best;
}
