import { buildProject } from './build-project.js'
import { command } from './command.ts'

/** `rowkeeper build`: makes `dist/` of a project in TypeScript. */
export default command({
  synopsis: '',
  about: 'Compiles the project to dist/, if its sources changed. One in plain JavaScript needs no build.',
  run: async () => {
    // The compiler has said why it failed.
    process.exitCode = Number(!(await buildProject()))
  }
})
