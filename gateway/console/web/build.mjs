// Builds the pages into the directory given as the first argument; ../assets by default.
import { build } from 'esbuild';
import { copyFile, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, '..', 'assets');
await mkdir(out, { recursive: true });
await build({
  entryPoints: [join(here, 'src', 'console.ts'), join(here, 'src', 'migrations.ts')],
  outdir: out,
  bundle: true,
  minify: true,
  target: 'es2022',
  legalComments: 'eof',
  logLevel: 'warning',
});
for (const page of ['index.html', 'migrations.html']) await copyFile(join(here, 'src', page), join(out, page));
