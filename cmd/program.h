/* program.h - one run of the program, from its arguments to its exit status. */
#pragma once

/* Returns the exit status: 0, EXIT_USAGE, or by reason (store/base/check.h). */
int program_main(int argc, char **argv);
