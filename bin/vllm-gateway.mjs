#!/usr/bin/env node
/** The command `vllm-gateway`. */
import { launch } from './launch.mjs';

await launch(import.meta.url, 'cli/main');
