# Writes the man pages and the completions of shells, with the program itself.
#   cmake -DHBAR=program -DOUT=folder -P help.cmake
function(write file)
    execute_process(COMMAND ${HBAR} help ${ARGN} OUTPUT_FILE ${OUT}/${file} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(REMOVE_RECURSE ${OUT})
file(MAKE_DIRECTORY ${OUT}/man1)
foreach(shell bash zsh fish)
    write(hbar.${shell} --format ${shell})
endforeach()
write(man1/hbar.1 --format man)
execute_process(COMMAND ${HBAR} help OUTPUT_VARIABLE help COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "\n  [a-z-]+" commands "${help}")
foreach(command ${commands})
    string(STRIP "${command}" command)
    write(man1/hbar-${command}.1 --format man ${command})
endforeach()
file(TOUCH ${OUT}/done)
