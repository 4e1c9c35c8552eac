/** `rowkeeper start`: serves the project of the working directory. */
export { startCommand as default } from '../server.ts'
